"""The recovery keys of a manifest: reading them, encrypting for them, and whose signature is whose.

RSA-OAEP with SHA-256 for secrets, PKCS #1 v1.5 with SHA-256 for signatures (marblerun-core 7.1, 7.5).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from coordinator.errors import ManifestRefusedError, RecoveryRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_KEY_BITS = 2048
MAX_KEY_BITS = 16384
_BLOCK = re.compile(r"-----BEGIN ([^\n-]*)-----[ \t\r]*\n([A-Za-z0-9+/=\s]*)-----END \1-----")
OAEP = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)


def read_public_keys(keys: Mapping[str, str]) -> dict[str, rsa.RSAPublicKey]:
    """Read all recovery keys, by name.

    Raises:
        ManifestRefusedError: one cannot be used, or two are the same: one holder would then count twice.
    """
    read: dict[str, rsa.RSAPublicKey] = {}
    for name, pem in sorted(keys.items()):
        key = read_public_key(pem)
        same = next((other for other, known in read.items() if known == key), None)
        if same is not None:
            raise ManifestRefusedError(f"the recovery keys {same!r} and {name!r} are the same key")
        read[name] = key
    return read


def read_public_key(pem: str) -> rsa.RSAPublicKey:
    """Read one recovery key of a manifest.

    Raises:
        ManifestRefusedError: it is no PEM block of an RSA public key, or its size is not acceptable.
    """
    block = _BLOCK.search(pem)
    if block is None or block[1] != "PUBLIC KEY":
        raise ManifestRefusedError("given PEM data is not a public key")
    try:
        key = load_der_public_key(base64.b64decode(block[2]))
    except binascii.Error as error:
        raise ManifestRefusedError("given PEM data is not a public key") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ManifestRefusedError("a recovery key cannot be read as a public key") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ManifestRefusedError("unsupported type of public key")
    if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise ManifestRefusedError(
            f"a recovery key has {key.key_size} bits: use an RSA key of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits"
        )
    return key


def encrypt_for(key: rsa.RSAPublicKey, secret: bytes) -> bytes:
    """Encrypt *secret* for the holder of *key*; the padding's randomness is OpenSSL's own."""
    return key.encrypt(secret, OAEP)


def check_signatures(keys: Mapping[str, str], needed: int, signed: Mapping[bytes, bytes]) -> None:
    """Check that the recovery *signed* (signature by secret) is the work of enough holders of *keys*.

    Where all keys are needed, each must have signed exactly one secret; else each secret needs a key of its
    own (marblerun-core 7.5).

    Raises:
        RecoveryRefusedError: a signature is missing, or there are too few or too many.
    """
    if needed == len(keys):
        if len(signed) != needed:
            raise RecoveryRefusedError(
                "recovery keys in manifest do not match the keys used for recovery: "
                f"expected {needed}, got {len(signed)}"
            )
    elif len(signed) != needed:
        raise RecoveryRefusedError(
            "recovery threshold in manifest does not match the number of keys used for recovery: "
            f"expected {needed}, got {len(signed)}"
        )
    open_secrets = dict(signed)
    for name, pem in sorted(keys.items()):
        public_key = read_public_key(pem)
        mine = next((one for one, mark in open_secrets.items() if _signed_by(public_key, one, mark)), None)
        if mine is not None:
            del open_secrets[mine]
        elif needed == len(keys):
            raise RecoveryRefusedError(f'no matching recovery key found for recovery public key "{name}"')
    if open_secrets:
        raise RecoveryRefusedError("no matching recovery public key found for recovery key")


def well_signed(keys: Mapping[str, str], signed: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """Return the secrets of *signed* that holders of *keys* have signed, one for each holder."""
    matched: set[bytes] = set()
    for _, pem in sorted(keys.items()):
        public_key = read_public_key(pem)
        fitting = (one for one, mark in signed.items() if _signed_by(public_key, one, mark))
        matched.update(itertools.islice((one for one in fitting if one not in matched), 1))
    return frozenset(matched)


def _signed_by(key: rsa.RSAPublicKey, secret: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, secret, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
