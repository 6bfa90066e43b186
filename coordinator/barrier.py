"""The barrier: a Store whose bytes mean nothing to the disk.

It wraps any store and seals every value with its name as associated data, so that the disk can neither read a
value nor put one in another's place. That names are digests of contents is the guard's part; together they
leave the disk only the rollback of the whole state (architecture.md decision 2, section 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from coordinator.errors import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.ports import Store

_AAD_PREFIX = b"marbleops/store/v1\0"


class Cipher(Protocol):
    """What a barrier seals with."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt *plaintext* under the current key and authenticate *aad*."""

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Open what any known key sealed; raise SealError."""

    def keeps(self, sealed: bytes) -> bool:
        """Say whether everybody with the current key can open *sealed*."""


class Barrier:
    """A sealed store over an untrusted one."""

    def __init__(self, store: Store, cipher: Cipher) -> None:
        self._store = store
        self._cipher = cipher

    def get(self, name: str) -> bytes | None:
        """Return the plaintext of *name*, or None.

        Raises:
            SealError: no known key sealed it, it was altered, or it belongs to another name.
        """
        sealed = self._store.get(name)
        return None if sealed is None else self._cipher.unseal(sealed, name_aad(name))

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Seal and write the *blobs* that are new.

        What a key sealed that never came into force (a crash left it) is sealed anew under the current one.

        Raises:
            CorruptStateError: a name exists with another content, which would make this write a lie.
        """
        new = {}
        for name, plaintext in blobs.items():
            found = self._store.get(name)
            if found is None:
                new[name] = self._cipher.seal(plaintext, name_aad(name))
            elif not self._cipher.keeps(found):
                self._store.compare_and_swap(name, found, self._cipher.seal(plaintext, name_aad(name)))
            elif self._cipher.unseal(found, name_aad(name)) != plaintext:
                raise CorruptStateError(f"the store holds another content under the name {name}")
        if new:
            self._store.put(new)

    def has(self, name: str) -> bool:
        """Say whether *name* exists."""
        return self._store.has(name)

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Set *name* to the sealed *new* if its plaintext is *old*."""
        current = self._store.get(name)
        if (None if current is None else self._cipher.unseal(current, name_aad(name))) != old:
            return False
        return self._store.compare_and_swap(name, current, self._cipher.seal(new, name_aad(name)))

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that start with *prefix*, sorted."""
        return self._store.list(prefix)


def name_aad(name: str) -> bytes:
    """Return what binds a sealed value to its *name*."""
    return _AAD_PREFIX + name.encode()
