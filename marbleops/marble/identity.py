"""What a marble makes for itself: key, self-signed certificate, signing request, and the UUID it keeps.

The shapes are the premain's (marblerun-core 4.3), since the quote is made over this certificate.
"""

from __future__ import annotations

import ipaddress
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_COMMON_NAME = "MarbleRun Marble"
_VALIDITY = timedelta(days=365)
"""Only this one connection needs it."""
_LOOPBACK = ("127.0.0.1", "::1")
_UUID_CHARACTERS = 256


class IdentityError(Exception):
    """The names or the kept UUID cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarbleIdentity:
    """A fresh key with its certificate and request."""

    certificate: x509.Certificate
    request: x509.CertificateSigningRequest
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_der(self) -> bytes:
        """The certificate over which the quote is made."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS #8; for TLS libraries only."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_identity(dns_names: tuple[str, ...], *, at: datetime) -> MarbleIdentity:
    """Make key, certificate and request for *dns_names*; IP addresses among them become IP entries.

    Raises:
        IdentityError: a name cannot stand in a certificate.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    try:
        names = _alternative_names(dns_names)
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA384())
        )
        certificate = _self_signed(key, names, at)
    except ValueError as error:
        raise IdentityError(f"EDG_MARBLE_DNS_NAMES: {error}") from error
    return MarbleIdentity(certificate=certificate, request=request, key=key)


def load_or_make_uuid(path: Path) -> uuid.UUID:
    """Return the UUID kept in *path*; make a random one where there is none, readable by the owner only.

    Raises:
        IdentityError: the file cannot be read or written, or holds something else.
    """
    try:
        with path.open("r", encoding="ascii") as file:
            return uuid.UUID(file.read(_UUID_CHARACTERS).strip())
    except FileNotFoundError:
        return _keep_new_uuid(path)
    except (OSError, ValueError) as error:
        raise IdentityError(f"{path}: no UUID can be read ({error})") from error


def now() -> datetime:
    """Return the time, for the certificate."""
    return datetime.now(UTC)


def _keep_new_uuid(path: Path) -> uuid.UUID:
    made = uuid.uuid4()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  a descriptor, not a path
            file.write(str(made))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise IdentityError(f"{path}: the UUID cannot be kept ({error.strerror})") from error
    return made


def _alternative_names(dns_names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    addresses = list(_LOOPBACK)
    names: list[x509.GeneralName] = []
    for name in dns_names:
        try:
            address = str(ipaddress.ip_address(name))
        except ValueError:
            names.append(x509.DNSName(name))
        else:
            addresses += [] if address in addresses else [address]
    return x509.SubjectAlternativeName(
        [*names, *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]
    )


def _self_signed(
    key: ec.EllipticCurvePrivateKey, names: x509.SubjectAlternativeName, at: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_agreement=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + _VALIDITY)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA384())
    )
