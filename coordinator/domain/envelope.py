"""Envelopes: bytes encrypted under a data key, bound to a name.

AES-256-GCM under a key derived for each value from a fresh salt, so that no nonce ever repeats. The header
names the data key by a one-way identifier, so that a value under another key is told apart from an altered
one before anything is decrypted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coordinator.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_SIZE = 32
SALT_SIZE = 32
MAX_SEALED_BYTES = 32 * 1024 * 1024
_MAGIC = b"mops-data\x01"
_KEY_ID_SIZE = 16
_HEADER_SIZE = len(_MAGIC) + _KEY_ID_SIZE + SALT_SIZE
_TAG_SIZE = 16
_SEAL = b"marbleops/data/v1\0"
_KEY_ID = b"marbleops/data-key-id/v1\0"


def key_id(key: bytes) -> str:
    """Name a data key without revealing it: 32 hexadecimal digits."""
    return derive(key, b"", _KEY_ID, _KEY_ID_SIZE).hex()


def seal(key: bytes, plaintext: bytes, aad: bytes, *, salt: bytes) -> bytes:
    """Encrypt *plaintext* and authenticate *aad*; *salt* is fresh randomness for this value alone."""
    assert len(salt) == SALT_SIZE
    header = _MAGIC + bytes.fromhex(key_id(key)) + salt
    return header + encrypt(key, salt, _SEAL, plaintext, header + aad)


def unseal(keys: Mapping[str, bytes], sealed: bytes, aad: bytes) -> bytes:
    """Open *sealed* with the one of *keys* (by key id) that its header names.

    Raises:
        SealError: none of them made it, or it was altered, or it is bound to something else.
    """
    name = key_id_of(sealed)
    if name is None or not _HEADER_SIZE + _TAG_SIZE <= len(sealed) <= MAX_SEALED_BYTES:
        raise SealError("a sealed value has no valid header")
    if name not in keys:
        raise SealError(f"a value is sealed under the data key {name}, which is not known here")
    header = sealed[:_HEADER_SIZE]
    return decrypt(keys[name], header[-SALT_SIZE:], _SEAL, sealed[_HEADER_SIZE:], header + aad)


def key_id_of(sealed: bytes) -> str | None:
    """Return the id of the data key that *sealed* names; None where it is no envelope."""
    if not sealed.startswith(_MAGIC) or len(sealed) < _HEADER_SIZE:
        return None
    return sealed[len(_MAGIC) : len(_MAGIC) + _KEY_ID_SIZE].hex()


def encrypt(key: bytes, salt: bytes, purpose: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Encrypt under what *key* and *salt* give for *purpose*."""
    derived = derive(key, salt, purpose, 44)
    return AESGCM(derived[:32]).encrypt(derived[32:], plaintext, aad)


def decrypt(key: bytes, salt: bytes, purpose: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """Undo ``encrypt``.

    Raises:
        SealError: the ciphertext or the associated data were altered.
    """
    derived = derive(key, salt, purpose, 44)
    try:
        return AESGCM(derived[:32]).decrypt(derived[32:], ciphertext, aad)
    except InvalidTag as error:
        raise SealError("a sealed value was altered") from error


def derive(key: bytes, salt: bytes, purpose: bytes, size: int) -> bytes:
    """Derive *size* bytes for one *purpose* (HKDF-SHA256)."""
    return HKDF(algorithm=SHA256(), length=size, salt=salt, info=purpose).derive(key)
