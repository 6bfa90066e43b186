"""SIGSTRUCT, the signed description of an enclave (Intel SDM volume 3D, 37.13): 1808 bytes, little endian.

Who builds an enclave signs its measurement with an RSA-3072 key of exponent 3. Whoever writes a manifest
needs four fields of it. The signature is checked, so that a damaged file never gives numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

SIZE = 1808
HEADER = bytes.fromhex("06000000e10000000000010000000000")
"""The first 16 bytes, the same in every SIGSTRUCT; by them it is found inside other formats."""
_HEADER_2 = bytes.fromhex("01010000600000006000000001000000")


class SigstructError(ValueError):
    """There is no usable SIGSTRUCT; the text says what was found instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageProperties:
    """An enclave's identity in the words of a manifest's package."""

    unique_id: str
    signer_id: str
    product_id: int
    security_version: int


def read_sigstruct(raw: bytes) -> PackageProperties:
    """Read one SIGSTRUCT and check its signature.

    Raises:
        SigstructError: wrong length or constants, or the signature is not the key's.
    """
    if len(raw) != SIZE:
        raise SigstructError(f"a SIGSTRUCT has {SIZE} bytes, this has {len(raw)}")
    if raw[:16] != HEADER or raw[24:40] != _HEADER_2:
        raise SigstructError("it does not begin like a SIGSTRUCT")
    _check_signature(raw)
    return PackageProperties(
        unique_id=raw[960:992].hex(),  # MRENCLAVE
        signer_id=hashlib.sha256(raw[128:512]).hexdigest(),  # MRSIGNER: over the modulus as stored
        product_id=int.from_bytes(raw[1024:1026], "little"),
        security_version=int.from_bytes(raw[1026:1028], "little"),
    )


def _check_signature(raw: bytes) -> None:
    modulus = int.from_bytes(raw[128:512], "little")
    exponent = int.from_bytes(raw[512:516], "little")
    if not any(raw[516:900]):
        raise SigstructError("the enclave is not signed yet")
    if exponent != 3 or modulus.bit_length() != 3072:
        raise SigstructError("the signing key is not RSA-3072 with exponent 3")
    try:
        RSAPublicNumbers(exponent, modulus).public_key().verify(
            raw[516:900][::-1], raw[:128] + raw[900:1028], padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, ValueError) as error:
        raise SigstructError("the SIGSTRUCT's signature is not good: the file is damaged") from error
