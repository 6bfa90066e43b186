"""The guard holds the current state, and is the only way to another one.

Persist first, then swap: the blobs of a transition are made durable, then the state pointer moves by
compare-and-swap, then readers see the new state (architecture.md decision 1). If it is unknown whether the
pointer moved, the guard looks; if it cannot look, it stops for good rather than show a state that may not be
the durable one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coordinator.domain import history
from coordinator.domain.phase import TRANSITIONS, Phase
from coordinator.domain.state import Ledger, State
from coordinator.errors import ConflictError, CoordinatorError, CorruptStateError, StoreError
from coordinator.ports import SealPolicy
from coordinator.vault import POINTER
from marbleops.approval.record import record_hash

if TYPE_CHECKING:
    from coordinator.domain.history import Pointer, Shelf, Transition
    from coordinator.domain.recovery import KeyChange
    from coordinator.vault import Vault
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest

LedgerChange = Callable[[Ledger], Ledger]


@dataclass(slots=True)
class _Ticket:
    """One ledger change in the queue, and what became of it."""

    old: State
    change: LedgerChange
    done: bool = False
    error: CoordinatorError | None = None


class Guard:
    """One current state over one vault. Thread-safe; readers never wait."""

    def __init__(self, state: State, pointer: bytes | None, vault: Vault) -> None:
        self._state = state
        self._pointer = pointer
        self._vault = vault
        self._lock = threading.Lock()
        self._tickets: list[_Ticket] = []
        self._tickets_lock = threading.Lock()
        self._failed = False

    @property
    def current(self) -> State:
        """The state now.

        Raises:
            StoreError: an earlier write ended in doubt; the process must be restarted.
        """
        if self._failed:
            raise StoreError("an earlier write ended in doubt; the Coordinator must be restarted")
        return self._state

    @property
    def vault(self) -> Vault:
        """The vault that the current state lies in."""
        return self._vault

    @property
    def in_doubt(self) -> bool:
        """Whether a write ended so that nobody can say what is durable: the process must end."""
        return self._failed

    def commit(
        self,
        old: State,
        transition: Transition,
        *,
        keys: KeyChange | None = None,
        ledger: LedgerChange | None = None,
    ) -> State:
        """Make *transition*, which was decided on *old*, durable and current.

        *keys* bring a new data key with it, *ledger* a change of the ledger; all happen in one step.

        Raises:
            ConflictError: something else was enforced since; nothing changed.
            ManifestRefusedError: a restart could not read the new state; nothing changed.
            StoreError: the store failed. Nothing changed, unless ``current`` raises it too.
        """
        with self._lock:
            self._check_unchanged(old)
            changed = history.evolve(self._state, transition)
            blobs = history.readable_blobs(transition)
            if ledger is not None:
                changed = replace(changed, ledger=ledger(changed.ledger))
                blobs |= history.upload_blobs(changed.ledger)
            vault = self._vault
            if keys is not None:
                signed = transition.record.deployment is not None
                vault = vault.changed(keys, seal_policy(transition.manifest), signed=signed)
            vault.sealed.put(blobs)
            return self._swap(vault, changed)

    def commit_ledger(self, old: State, change: LedgerChange) -> None:
        """Apply *change* to the ledger, durably, if *old* is still what is enforced.

        *change* sees the newest ledger and may raise to refuse; then nothing changed. Changes that come while
        one is being written share the next write.

        Raises:
            ConflictError: something else is enforced by now.
            StoreError: as in ``commit``.
        """
        if self._stays(old, change):
            return
        ticket = _Ticket(old, change)
        with self._tickets_lock:
            self._tickets.append(ticket)
        with self._lock:
            if not ticket.done:
                self._commit_tickets()
        if ticket.error is not None:
            raise ticket.error

    def replace(self, state: State, pointer: bytes | None, vault: Vault) -> None:
        """Go on with a state that was recovered, or with a fresh one after a reset."""
        with self._lock:
            assert self._state.phase is Phase.RECOVERY, "only a state that waits for recovery is replaced"
            assert state.phase in TRANSITIONS[Phase.RECOVERY], "no way from recovery"
            self._state, self._pointer, self._vault = state, pointer, vault

    def _stays(self, old: State, change: LedgerChange) -> bool:
        """Say whether *change* asks for nothing that is not durable already: then nobody waits."""
        with contextlib.suppress(CoordinatorError):  # the queue refuses, when it is this change's turn
            state = self.current
            unchanged = state.head == old.head and state.phase is old.phase
            return unchanged and change(state.ledger) is state.ledger
        return False

    def _commit_tickets(self) -> None:
        """Apply everything in the queue, and write once."""
        with self._tickets_lock:
            tickets, self._tickets = self._tickets, []
        ledger = self._state.ledger
        accepted = []
        for ticket in tickets:
            ticket.done = True
            try:
                self._check_unchanged(ticket.old)
                assert self._state.enforcement is not None, "the ledger needs a manifest"
                ledger = ticket.change(ledger)
                accepted.append(ticket)
            except CoordinatorError as error:
                ticket.error = error
        if ledger == self._state.ledger:
            return
        try:
            self._swap(self._vault, replace(self._state, ledger=ledger))
        except CoordinatorError as error:
            for ticket in accepted:
                ticket.error = error

    def _check_unchanged(self, old: State) -> None:
        if self.current.head != old.head or self._state.phase is not old.phase:
            raise ConflictError

    def _swap(self, vault: Vault, changed: State) -> State:
        encoded = history.encode_pointer(history.pointer_of(changed))
        history.decode_pointer(encoded)  # what a restart could not read must not become durable
        try:
            swapped = vault.sealed.compare_and_swap(POINTER, self._pointer, encoded)
        except StoreError:
            swapped = self._look(vault, encoded)
        if not swapped:
            # Somebody else moved the pointer of a store that is ours alone: what we serve is no longer the
            # truth.
            self._failed = True
            raise StoreError("the state pointer was changed by another process")
        self._pointer = encoded
        self._vault = vault
        self._state = changed
        return changed

    def _look(self, vault: Vault, wanted: bytes) -> bool:
        """After a failed swap: return True if it happened, raise if it did not or if nobody can tell."""
        try:
            found = vault.sealed.get(POINTER)
        except StoreError:
            self._failed = True
            raise
        if found == self._pointer:
            raise StoreError("the state pointer could not be written; nothing changed")
        return found == wanted


def load(fresh: State, vault: Vault) -> Guard:
    """Open the vault: replay and verify what it holds, or start with the *fresh* state if it holds nothing.

    Raises:
        ForeignSealError: no platform key of this machine opens the data key: a case for recovery.
        SealError: the state pointer or a blob was altered.
        CorruptStateError: what is there contradicts itself; the message says where.
        StoreError: the store cannot be read.
    """
    state, pointer = read(fresh, vault)
    return Guard(state, pointer, vault)


def read(fresh: State, vault: Vault) -> tuple[State, bytes | None]:
    """Read what the vault holds: the state and its encoded pointer. Raises as ``load`` does."""
    assert fresh.phase is Phase.ACCEPTING_MANIFEST
    store = vault.sealed
    encoded = store.get(POINTER)
    if encoded is None:
        _check_nothing_enforced(vault)
        return fresh, None

    def fetch(shelf: Shelf, digest: Digest) -> bytes:
        content = store.get(history.blob_name(shelf, digest))
        if content is None:
            raise CorruptStateError(f"the {shelf} blob {digest} is missing")
        return content

    pointer: Pointer = history.decode_pointer(encoded)
    state = history.replay(fresh, pointer, fetch)
    _check_newest(vault, state)
    return state, encoded


def _check_newest(vault: Vault, state: State) -> None:
    """Refuse a pointer that was put back alone: one record past the head is left by a crash, two are not."""
    enforcement = state.enforcement
    assert enforcement is not None
    head = enforcement.head.position
    ours = {history.blob_name(history.Shelf.RECORD, record_hash(one)) for one in enforcement.records}
    for name in set(vault.sealed.list(f"{history.Shelf.RECORD}/")) - ours:
        position = history.position_of(vault.leftover(name))
        if position is not None and position > head + 1:
            raise CorruptStateError(
                f"the state pointer is an older one: its history ends at position {head}, "
                f"but there is a record of position {position}"
            )


def _check_nothing_enforced(vault: Vault) -> None:
    """Without a pointer only a first transition that never became current may be there, from a crash."""
    store = vault.sealed
    for name in store.list(f"{history.Shelf.RECORD}/"):
        if history.follows_another(store.get(name) or b""):
            raise CorruptStateError("the state pointer is missing, but the history it led to is not")


def seal_policy(manifest: Manifest) -> SealPolicy | None:
    """Return the sealing that a manifest asks for; None keeps nothing on disk (marblerun-core 8.2)."""
    if manifest.config.seal_mode == "Disabled":
        return None
    return SealPolicy.UNIQUE if manifest.config.seal_mode == "UniqueKey" else SealPolicy.PRODUCT
