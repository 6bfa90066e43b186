"""The audit of a signed deployment's history, before anything of it is served.

A state is sealed under the data key, and recovery holders together have that key: with the disk they could
write any history under it. So each start and each recovery decides every signed transition again, and such a
state is refused like any other that contradicts itself (approvals.md section 3, *Side doors closed*).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.domain.history import Shelf, blob_name
from coordinator.domain.rejudge import rejudge

if TYPE_CHECKING:
    from coordinator.domain.state import State
    from coordinator.vault import Vault
    from marbleops.manifest.digest import Digest


def audit(state: State, vault: Vault) -> None:
    """Judge the history of *state* again, where it is one of signed transitions.

    Raises:
        CorruptStateError: a transition does not hold, or evidence is missing; the message names it.
        SealError: a blob was altered.
    """
    enforcement = state.enforcement
    if enforcement is None or enforcement.deployment is None:
        return

    def fetch(shelf: Shelf, digest: Digest) -> bytes | None:
        return vault.sealed.get(blob_name(shelf, digest))

    rejudge(enforcement.records, root_spki=state.authorities.root.spki, fetch=fetch)
