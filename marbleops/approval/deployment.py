"""The deployment id: what clients pin and what people sign from Version 2 on (approvals.md section 1)."""

from __future__ import annotations

import hashlib

from marbleops.manifest.digest import Digest

_CONTEXT = b"marbleops/deployment/v1\0"


def deployment_id(root_spki_der: bytes, genesis: Digest) -> Digest:
    """Name the deployment that this root key and this first manifest make.

    The id holds the root *key*, so a genuine Coordinator that was given the same genesis by somebody else has
    another id, and the genesis, so that one root key cannot carry two policies.
    """
    assert root_spki_der, "a deployment without a root key has no id"
    return Digest(hashlib.sha256(_CONTEXT + root_spki_der + genesis.value).digest())
