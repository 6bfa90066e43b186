"""The people of the fixture: keys from names, certificates with fixed dates, always the same bytes.

INSECURE: everybody can compute these keys. They exist for tests alone.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from conformance.wire.recovery_keys import RECOVERY_KEYS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import OAEP

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2126, 1, 1, tzinfo=UTC)
EXPIRED = datetime(2026, 1, 2, tzinfo=UTC)
NAMES = ("admin", "alice", "bob", "carol", "expired", "stranger")
"""``stranger`` is never a user of a manifest."""


class People:
    """Keys and certificates by name."""

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """Return the P-256 key of *name*."""
        return _key(name)

    def key_pem(self, name: str) -> str:
        """Return the key as PKCS #8 PEM."""
        return (
            _key(name)
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            .decode()
        )

    def key_der(self, name: str) -> bytes:
        """Return the key as PKCS #8 DER."""
        return _key(name).private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def certificate_pem(self, name: str) -> str:
        """Return the self-signed certificate as PEM."""
        return _certificate(name).public_bytes(serialization.Encoding.PEM).decode()

    def certificate_der(self, name: str) -> bytes:
        """Return the self-signed certificate as DER."""
        return _certificate(name).public_bytes(serialization.Encoding.DER)

    def recovery_public_pem(self, name: str) -> str:
        """Return the public half of a recovery key."""
        public = _recovery_key(name).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, form).decode()

    def unwrap(self, name: str, ciphertext: bytes) -> bytes:
        """Decrypt a recovery secret (core 7.1)."""
        return _recovery_key(name).decrypt(ciphertext, oaep())

    def sign(self, name: str, secret: bytes) -> bytes:
        """Sign a plain recovery secret (core 7.3)."""
        return _recovery_key(name).sign(secret, padding.PKCS1v15(), hashes.SHA256())


def oaep() -> OAEP:
    """Return RSA-OAEP as MarbleRun uses it: SHA-256 twice, no label."""
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    seed = hashlib.sha256(b"conformance user " + name.encode()).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big") >> 1 | 1, ec.SECP256R1())


@cache
def _certificate(name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"conformance {name}")])
    serial = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_key(name).public_key())
        .serial_number(serial)
        .not_valid_before(FROM)
        .not_valid_after(EXPIRED if name == "expired" else UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(_key(name), hashes.SHA256(), ecdsa_deterministic=True)
    )


@cache
def _recovery_key(name: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(RECOVERY_KEYS[name].encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{name} is no RSA key")
    return key
