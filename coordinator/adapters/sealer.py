"""Sealing with the platform's keys: AES-256-GCM, a fresh key for every value.

The header names the policy and, by a one-way identifier, the key: so a value of another enclave build is told
apart from one that was altered, and only the first is a case for recovery (marblerun-core 8.3).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coordinator.errors import ForeignSealError, SealError
from coordinator.ports import Entropy, SealPolicy

_MAGIC = b"mops-seal\x01"
_POLICY_BYTE = {SealPolicy.UNIQUE: b"\x01", SealPolicy.PRODUCT: b"\x02"}
_KEY_ID_SIZE = 16
_SALT_SIZE = 32
_HEADER_SIZE = len(_MAGIC) + 1 + _KEY_ID_SIZE + _SALT_SIZE
MAX_SEALED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SealingKeys:
    """The platform's two sealing keys, 32 bytes each. The repr is empty."""

    unique: bytes
    product: bytes


class AesGcmSealer:
    """Seals with AES-256-GCM under a key derived for each value, so that no nonce repeats."""

    def __init__(self, keys: SealingKeys, entropy: Entropy) -> None:
        self._keys = {SealPolicy.UNIQUE: keys.unique, SealPolicy.PRODUCT: keys.product}
        self._entropy = entropy

    def seal(self, plaintext: bytes, aad: bytes, *, policy: SealPolicy) -> bytes:
        """Encrypt *plaintext*; the header names policy and key without revealing either."""
        key = self._keys[policy]
        salt = self._entropy.bytes(_SALT_SIZE)
        header = _MAGIC + _POLICY_BYTE[policy] + _key_id(key) + salt
        derived = _hkdf(key, salt, b"marbleops/seal/v1\0", 44)
        return header + AESGCM(derived[:32]).encrypt(derived[32:], plaintext, header + aad)

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Open *sealed*.

        Raises:
            ForeignSealError: the header names a key this enclave does not have.
            SealError: the bytes, or what they are bound to, were altered.
        """
        if not _HEADER_SIZE + 16 <= len(sealed) <= MAX_SEALED_BYTES or not sealed.startswith(_MAGIC):
            raise SealError("a sealed value has no valid header")
        header = sealed[:_HEADER_SIZE]
        policy_byte = header[len(_MAGIC) : len(_MAGIC) + 1]
        policy = next((policy for policy, byte in _POLICY_BYTE.items() if byte == policy_byte), None)
        if policy is None:
            raise SealError("a sealed value has no known policy")
        key = self._keys[policy]
        if not hmac.compare_digest(_key_id(key), header[len(_MAGIC) + 1 : -_SALT_SIZE]):
            raise ForeignSealError("a value was sealed by another enclave identity")
        derived = _hkdf(key, header[-_SALT_SIZE:], b"marbleops/seal/v1\0", 44)
        try:
            return AESGCM(derived[:32]).decrypt(derived[32:], sealed[_HEADER_SIZE:], header + aad)
        except InvalidTag as error:
            raise SealError("a sealed value was altered") from error


def _key_id(key: bytes) -> bytes:
    return _hkdf(key, b"", b"marbleops/seal-key-id/v1\0", _KEY_ID_SIZE)


def _hkdf(key: bytes, salt: bytes, purpose: bytes, size: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=size, salt=salt, info=purpose).derive(key)
