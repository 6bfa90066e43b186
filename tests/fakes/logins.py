"""Certificates that users of a manifest present, self-signed and long expired: only the key counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Login:
    """A key and a self-signed certificate, long expired: only the key counts."""

    name: str
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    certificate_der: bytes


def of_no_known_version(certificate_der: bytes) -> bytes:
    """Return a certificate that says to be of version 6: what reads it raises no ValueError."""
    return certificate_der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)


@cache
def login(name: str) -> Login:
    """Return the certificate of *name*, always the same."""
    key = ec.derive_private_key(int.from_bytes(name.encode()) + 7, ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(len(name))
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return Login(
        name=name,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate_pem=certificate.public_bytes(Encoding.PEM),
        certificate_der=certificate.public_bytes(Encoding.DER),
    )
