"""The barrier: a Store whose bytes mean nothing to the disk.

It wraps any store and seals every value with its name as associated data, so that the disk can neither read a
value nor put one in another's place. That names are digests of contents is the guard's part; together they
leave the disk only the rollback of the whole state (architecture.md decision 2, section 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.errors import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.ports import Sealer, SealPolicy, Store

_AAD_PREFIX = b"marbleops/store/v1\0"


class Barrier:
    """A sealed store over an untrusted one; sealing follows *policy*, opening takes either."""

    def __init__(self, store: Store, sealer: Sealer, *, policy: SealPolicy) -> None:
        self._store = store
        self._sealer = sealer
        self._policy = policy

    def get(self, name: str) -> bytes | None:
        """Return the plaintext of *name*, or None.

        Raises:
            ForeignSealError: another enclave identity sealed it.
            SealError: it was altered, or belongs to another name.
        """
        sealed = self._store.get(name)
        return None if sealed is None else self._sealer.unseal(sealed, _aad(name))

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Seal and write the *blobs* that are new.

        Raises:
            CorruptStateError: a name exists with another content, which would make this write a lie.
        """
        new = {}
        for name, plaintext in blobs.items():
            if not self._store.has(name):
                new[name] = self._sealer.seal(plaintext, _aad(name), policy=self._policy)
            elif self.get(name) != plaintext:
                raise CorruptStateError(f"the store holds another content under the name {name}")
        if new:
            self._store.put(new)

    def has(self, name: str) -> bool:
        """Say whether *name* exists."""
        return self._store.has(name)

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Set *name* to the sealed *new* if its plaintext is *old*."""
        current = self._store.get(name)
        if (None if current is None else self._sealer.unseal(current, _aad(name))) != old:
            return False
        return self._store.compare_and_swap(
            name, current, self._sealer.seal(new, _aad(name), policy=self._policy)
        )

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that start with *prefix*, sorted."""
        return self._store.list(prefix)


def _aad(name: str) -> bytes:
    return _AAD_PREFIX + name.encode()
