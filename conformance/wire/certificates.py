"""Certificates as the cases speak of them: a JSON description instead of bytes that are new each time."""

from __future__ import annotations

import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.extensions import ExtensionNotFound

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END \1-----\n")
FOREVER_DAYS = 106751
"""292 years and some days: Go's largest duration (core 0.2)."""
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
}
MARK = "O=INSECURE SIMULATION (no hardware protection)"
"""What our simulated platform writes into every name; left out of the descriptions, see D12."""
MARBLE_TYPE = x509.ObjectIdentifier("1.3.9903.2.1")
"""Its value is the raw marble type, without any DER around it (core 3)."""


def split_pem(text: str) -> list[str]:
    """Split *text* into PEM blocks as Go writes them: 64 columns, no headers, nothing between.

    Raises:
        ValueError: there is anything else.
    """
    blocks = [match.group(0) for match in BLOCK.finditer(text)]
    if "".join(blocks) != text:
        raise ValueError("the text is not a sequence of PEM blocks")
    return blocks


def load(certificate: str | bytes) -> x509.Certificate:
    """Read PEM text or DER bytes."""
    if isinstance(certificate, str):
        return x509.load_pem_x509_certificate(certificate.encode())
    return x509.load_der_x509_certificate(certificate)


def describe(certificate: str | bytes) -> dict[str, Any]:
    """Describe a certificate by what its reader cares for, in a fixed order of members."""
    read = load(certificate)
    constraints = _extension(read, x509.BasicConstraints)
    lifetime = read.not_valid_after_utc - read.not_valid_before_utc
    names = _extension(read, x509.SubjectAlternativeName)
    usage = _extension(read, x509.KeyUsage)
    purposes = _extension(read, x509.ExtendedKeyUsage)
    return {
        "subject": _unmarked(read.subject),
        "issuer": _unmarked(read.issuer),
        "key": _key(read),
        "signature": _signature(read),
        "days": "forever" if lifetime.days == FOREVER_DAYS else lifetime.days,
        "usage": None if usage is None else [name for name in USAGES if getattr(usage, name)],
        "purposes": None
        if purposes is None
        else [PURPOSES.get(o.dotted_string, o.dotted_string) for o in purposes],
        "ca": None if constraints is None else constraints.ca,
        "dns": [] if names is None else names.get_values_for_type(x509.DNSName),
        "ips": [] if names is None else [str(ip) for ip in names.get_values_for_type(x509.IPAddress)],
        "emails": [] if names is None else names.get_values_for_type(x509.RFC822Name),
        "uris": [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier),
        "critical": [e.oid.dotted_string for e in read.extensions if e.critical],
        "extensions": [e.oid.dotted_string for e in read.extensions],
        "marbleType": _marble_type(read),
        "marked": MARK in read.issuer.rfc4514_string(),
    }


def _unmarked(name: x509.Name) -> str:
    return name.rfc4514_string().replace(f"{MARK},", "").replace(f",{MARK}", "")


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


def _marble_type(certificate: x509.Certificate) -> str | None:
    try:
        value = certificate.extensions.get_extension_for_oid(MARBLE_TYPE).value
    except ExtensionNotFound:
        return None
    return value.value.decode() if isinstance(value, x509.UnrecognizedExtension) else None


def _key(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return key.curve.name
        case rsa.RSAPublicKey() as key:
            return f"rsa{key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case _:
            return "unknown"


def _signature(certificate: x509.Certificate) -> str:
    hashed = certificate.signature_hash_algorithm
    return "none" if hashed is None else f"{certificate.signature_algorithm_oid._name} {hashed.name}"  # noqa: SLF001
