"""What a decision starts from: the enforced manifest and what the enclave remembers beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.approval.floors import AttestedVersions, Floors
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest


def _nothing_attested() -> AttestedVersions:
    return MappingProxyType({})


def _nothing_withdrawn() -> Mapping[Digest, frozenset[str]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """Every input of a decision that is neither in the candidate nor in the evidence.

    ``revoked`` holds fingerprints of keys that count nowhere any more; ``withdrawn`` holds, per manifest, the
    users who took their approval of it back.
    """

    manifest: Manifest
    deployment: Digest
    floors: Floors
    attested: AttestedVersions = field(default_factory=_nothing_attested)
    revoked: frozenset[str] = frozenset()
    withdrawn: Mapping[Digest, frozenset[str]] = field(default_factory=_nothing_withdrawn)

    def __post_init__(self) -> None:
        if self.manifest.gitops is None:
            raise ValueError("the enforced manifest has no GitOps section")
