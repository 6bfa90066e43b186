"""The guard holds the current state, and is the only way to another one.

Persist first, then swap: the blobs of a transition are made durable, then the state pointer moves by
compare-and-swap, then readers see the new state (architecture.md decision 1). If it is unknown whether the
pointer moved, the guard looks; if it cannot look, it stops for good rather than show a state that may not be
the durable one.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator.domain import history
from coordinator.domain.phase import Phase
from coordinator.errors import ConflictError, CorruptStateError, StoreError
from coordinator.ports import SealPolicy, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.domain.history import Pointer, Shelf, Transition
    from coordinator.domain.state import Ledger, State
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest

POINTER = "pointer"


class Guard:
    """One current state over one sealed store. Thread-safe; readers never wait."""

    def __init__(self, state: State, pointer: bytes | None, sealed: Callable[[SealPolicy], Store]) -> None:
        self._state = state
        self._pointer = pointer
        self._sealed = sealed
        self._lock = threading.Lock()
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
    def in_doubt(self) -> bool:
        """Whether a write ended so that nobody can say what is durable: the process must end."""
        return self._failed

    def commit(self, old: State, transition: Transition) -> State:
        """Make *transition*, which was decided on *old*, durable and current.

        Raises:
            ConflictError: something else was enforced since; nothing changed.
            ManifestRefusedError: a restart could not read the new state; nothing changed.
            StoreError: the store failed. Nothing changed, unless ``current`` raises it too.
        """
        with self._lock:
            self._check_unchanged(old)
            store = self._sealed(seal_policy(transition.manifest))
            changed = history.evolve(self._state, transition)
            store.put(history.readable_blobs(transition))
            return self._swap(store, changed)

    def commit_ledger(self, old: State, change: Callable[[Ledger], Ledger]) -> State:
        """Apply *change* to the ledger, durably, if *old* is still what is enforced.

        *change* sees the newest ledger and may raise to refuse; then nothing changed.

        Raises:
            ConflictError: something else is enforced by now.
            StoreError: as in ``commit``.
        """
        with self._lock:
            self._check_unchanged(old)
            enforcement = self._state.enforcement
            assert enforcement is not None, "activations need a manifest"
            ledger = change(self._state.ledger)
            if ledger == self._state.ledger:
                return self._state
            return self._swap(
                self._sealed(seal_policy(enforcement.manifest)), replace(self._state, ledger=ledger)
            )

    def _check_unchanged(self, old: State) -> None:
        if self.current.head != old.head or self._state.phase is not old.phase:
            raise ConflictError

    def _swap(self, store: Store, changed: State) -> State:
        encoded = history.encode_pointer(history.pointer_of(changed))
        history.decode_pointer(encoded)  # what a restart could not read must not become durable
        try:
            swapped = store.compare_and_swap(POINTER, self._pointer, encoded)
        except StoreError:
            swapped = self._look(store, encoded)
        if not swapped:
            # Somebody else moved the pointer of a store that is ours alone: what we serve is no longer the
            # truth.
            self._failed = True
            raise StoreError("the state pointer was changed by another process")
        self._pointer = encoded
        self._state = changed
        return changed

    def _look(self, store: Store, wanted: bytes) -> bool:
        """After a failed swap: return True if it happened, raise if it did not or if nobody can tell."""
        try:
            found = store.get(POINTER)
        except StoreError:
            self._failed = True
            raise
        if found == self._pointer:
            raise StoreError("the state pointer could not be written; nothing changed")
        return found == wanted


def load(fresh: State, sealed: Callable[[SealPolicy], Store]) -> Guard:
    """Open the store: replay and verify what it holds, or start with the *fresh* state if it holds nothing.

    Raises:
        ForeignSealError: another enclave identity sealed the state: a case for recovery.
        SealError: the state pointer or a blob was altered.
        CorruptStateError: what is there contradicts itself; the message says where.
        StoreError: the store cannot be read.
    """
    assert fresh.phase is Phase.ACCEPTING_MANIFEST
    store = sealed(SealPolicy.PRODUCT)
    encoded = store.get(POINTER)
    if encoded is None:
        _check_nothing_enforced(store)
        return Guard(fresh, None, sealed)

    def fetch(shelf: Shelf, digest: Digest) -> bytes:
        content = store.get(history.blob_name(shelf, digest))
        if content is None:
            raise CorruptStateError(f"the {shelf} blob {digest} is missing")
        return content

    pointer: Pointer = history.decode_pointer(encoded)
    return Guard(history.replay(fresh, pointer, fetch), encoded, sealed)


def _check_nothing_enforced(store: Store) -> None:
    """Without a pointer only a first transition that never became current may be there, from a crash."""
    for name in store.list(f"{history.Shelf.RECORD}/"):
        if history.follows_another(store.get(name) or b""):
            raise CorruptStateError("the state pointer is missing, but the history it led to is not")


def seal_policy(manifest: Manifest) -> SealPolicy:
    """Return the sealing that a manifest asks for (marblerun-core 8.2)."""
    return SealPolicy.UNIQUE if manifest.config.seal_mode == "UniqueKey" else SealPolicy.PRODUCT
