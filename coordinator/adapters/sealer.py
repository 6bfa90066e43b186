"""Sealing with the platform's keys: AES-256-GCM, a fresh key for every value.

The header names the policy and, by a one-way identifier, the key: so a value of another enclave build is told
apart from one that was altered, and only the first is a case for recovery (marblerun-core 8.3). Values are
few: the data keys (``coordinator.vault``), and what version 0.1 of marbleops sealed this way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import envelope
from coordinator.errors import ForeignSealError, SealError
from coordinator.ports import Entropy, SealPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = b"mops-seal\x01"
_POLICY_BYTE = {SealPolicy.UNIQUE: b"\x01", SealPolicy.PRODUCT: b"\x02"}
_KEY_ID_SIZE = 16
_HEADER_SIZE = len(_MAGIC) + 1 + _KEY_ID_SIZE + envelope.SALT_SIZE
_SEAL = b"marbleops/seal/v1\0"
_KEY_ID = b"marbleops/seal-key-id/v1\0"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SealingKeys:
    """The platform's sealing keys, 32 bytes each. The repr is empty.

    ``older`` are the product keys of older security versions of this enclave: they open what an older
    Coordinator left behind, and seal nothing. ``circumstances`` says in plain words what the keys depend on.
    """

    unique: bytes
    product: bytes
    older: tuple[bytes, ...] = ()
    circumstances: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class AesGcmSealer:
    """Seals with AES-256-GCM under a key derived for each value, so that no nonce repeats."""

    def __init__(self, keys: SealingKeys, entropy: Entropy) -> None:
        self._keys = {SealPolicy.UNIQUE: keys.unique, SealPolicy.PRODUCT: keys.product}
        self._openers = {
            (SealPolicy.UNIQUE, _key_id(keys.unique)): keys.unique,
            **{(SealPolicy.PRODUCT, _key_id(key)): key for key in (keys.product, *keys.older)},
        }
        self._circumstances = keys.circumstances
        self._entropy = entropy

    def seal(self, plaintext: bytes, aad: bytes, *, policy: SealPolicy) -> bytes:
        """Encrypt *plaintext*; the header names policy and key without revealing either."""
        key = self._keys[policy]
        salt = self._entropy.bytes(envelope.SALT_SIZE)
        header = _MAGIC + _POLICY_BYTE[policy] + _key_id(key) + salt
        return header + envelope.encrypt(key, salt, _SEAL, plaintext, header + aad)

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Open *sealed*.

        Raises:
            ForeignSealError: the header names a key this enclave does not have.
            SealError: the bytes, or what they are bound to, were altered.
        """
        if not _HEADER_SIZE + 16 <= len(sealed) <= envelope.MAX_SEALED_BYTES:
            raise SealError("a sealed value has no valid header")
        policy = self.policy_of(sealed)
        if policy is None:
            raise SealError("a sealed value has no known policy")
        header = sealed[:_HEADER_SIZE]
        key = self._openers.get((policy, header[len(_MAGIC) + 1 : -envelope.SALT_SIZE]))
        if key is None:
            raise ForeignSealError("a value was sealed by another enclave identity")
        salt = header[-envelope.SALT_SIZE :]
        return envelope.decrypt(key, salt, _SEAL, sealed[_HEADER_SIZE:], header + aad)

    def key_name(self, policy: SealPolicy) -> str:
        """Name the key that seals under *policy* now; one-way."""
        return _key_id(self._keys[policy]).hex()

    def policy_of(self, sealed: bytes) -> SealPolicy | None:
        """Return the policy that the header of *sealed* names, or None where no platform sealed it."""
        if not sealed.startswith(_MAGIC):
            return None
        byte = sealed[len(_MAGIC) : len(_MAGIC) + 1]
        return next((policy for policy, own in _POLICY_BYTE.items() if own == byte), None)

    def circumstances(self) -> Mapping[str, str]:
        """Return what the platform's keys depend on, to be kept in plain beside what they seal."""
        return self._circumstances


def _key_id(key: bytes) -> bytes:
    return envelope.derive(key, b"", _KEY_ID, _KEY_ID_SIZE)
