"""Bringing a state of version 0.1 forward: from the platform's sealing key to a data key.

Version 0.1 sealed every value under the platform's key itself, so that nothing else could ever open it. Each
step leaves a store that opens: the new key's records first, then each blob by compare-and-swap, the state
pointer last. A migration that was interrupted begins again with another key; what the first one sealed is
still open, since its key was wrapped before it was used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.domain.history import Shelf
from coordinator.domain.recovery import generate
from coordinator.errors import CorruptStateError, SealError
from coordinator.vault import POINTER, open_vault
from marbleops.approval.record import ChainError, decode_record

if TYPE_CHECKING:
    from coordinator.barrier import Barrier
    from coordinator.vault import Vault


def migrated(old: Vault) -> Vault:
    """Seal the whole state of *old* anew under a data key, and return the vault that opens it.

    Raises:
        SealError: a value was altered. CorruptStateError: a record is none.
        StoreError: the store failed; the next start begins again.
    """
    assert old.is_legacy
    store = old.ports.store
    sealed_pointer, pointer = store.get(POINTER), old.sealed.get(POINTER)
    policy = old.ports.platform.policy_of(sealed_pointer or b"")
    if policy is None or pointer is None:
        raise SealError("the state pointer is none of version 0.1")
    change = generate({}, 0, random=old.ports.entropy.bytes)  # version 0.1 knew no recovery keys
    new = old.changed(change, policy, signed=_is_signed(old.sealed))
    for shelf in Shelf:
        for name in store.list(f"{shelf}/"):
            new.sealed.put({name: old.sealed.get(name) or b""})
    if not new.sealed.compare_and_swap(POINTER, pointer, pointer):
        raise CorruptStateError("the state pointer was changed by another process")
    return open_vault(old.ports)


def _is_signed(sealed: Barrier) -> bool:
    """Say whether the history is that of a deployment with a GitOps section."""
    try:
        return any(
            decode_record(sealed.get(name) or b"").deployment is not None
            for name in sealed.list(f"{Shelf.RECORD}/")
        )
    except ChainError as error:
        raise CorruptStateError(f"a record cannot be read: {error}") from error
