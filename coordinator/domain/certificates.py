"""Certificate secrets: keys and certificates under the marble root (marblerun-core 5.3, 5.4).

A secret starts from the template of its definition; what the template leaves open has MarbleRun's defaults.
Serial and beginning are always new, and every certificate ends with the days of its definition, counted from
its making: a package update renews a shared certificate for its full time (A3), and no days means 365 (A4).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from coordinator.domain import der_writer, pki
from coordinator.domain.certificate_encoding import (
    Contents,
    encode_certificate,
    encode_extensions,
    encode_subject,
)
from coordinator.errors import ManifestRefusedError
from marbleops.manifest.certificate_read import read_template
from marbleops.manifest.certificate_template import CertificateTemplateError, check_creatable

if TYPE_CHECKING:
    from coordinator.domain.making import Making, Random
    from marbleops.manifest.certificate_template import CertificateTemplate
    from marbleops.manifest.model import Secret

RSA: Final = "cert-rsa"
ECDSA: Final = "cert-ecdsa"
ED25519: Final = "cert-ed25519"
TYPES: Final = frozenset({RSA, ECDSA, ED25519})

DEFAULT_DAYS: Final = 365
MAX_DAYS: Final = 2_000_000
"""About as long as a certificate can say: it has four digits for the year."""
MIN_RSA_BITS: Final = 1024
MAX_RSA_BITS: Final = 8192
"""Go takes longer keys; one of 16,384 bits costs minutes, for each activation where it is a marble's own."""

_CURVES: Final[dict[int, ec.EllipticCurve]] = {
    224: ec.SECP224R1(),
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}
_DEFAULT_NAME: Final = "MarbleRun Generated Certificate"
_DEFAULT_KEY_USAGE: Final = 1 | 32
_DEFAULT_EXTENDED_USAGE: Final = ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")
_DEFAULT_ADDRESSES: Final = (ip_address("127.0.0.1"), ip_address("::1"))
_BLANK_KEY: Final = der_writer.sequence(der_writer.sequence(), der_writer.bit_string(b""))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey


def check(name: str, definition: Secret) -> None:
    """Refuse, at set time, a certificate that could not be made.

    Raises:
        ManifestRefusedError: its size, its days or its template.
    """
    _check_size(name, definition)
    if definition.valid_for > MAX_DAYS:
        raise ManifestRefusedError(
            f"secret {name}: ValidFor has {definition.valid_for} days, at most {MAX_DAYS} fit a certificate"
        )
    try:
        template = with_defaults(read_template(definition.cert))
        check_creatable(template)
        blank = Contents(
            template=template, serial=1, not_before=_EPOCH, not_after=_EPOCH, spki=_BLANK_KEY, marking=None
        )
        encode_subject(template, None)
        encode_extensions(blank, b"\0")
    except (CertificateTemplateError, ValueError) as error:
        raise ManifestRefusedError(f"secret {name}: creating certificate: {error}") from error


def create(definition: Secret, *, issuer: pki.KeyPair, making: Making) -> tuple[bytes, bytes, bytes]:
    """Make a key and its certificate; return PKCS#8, PKIX and the certificate, all DER.

    Raises:
        ValueError: the definition is one that ``check`` refuses.
    """
    key = _create_key(definition, making.random)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    contents = _contents(definition, public, issuer, making)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return private, public, encode_certificate(contents, issuer)


def valid_days(definition: Secret) -> int:
    """Return the days of a secret as MarbleRun shows them: generated certificates have a default (A4).

    There is none where the template says itself when the certificate ends.
    """
    if definition.valid_for or definition.user_defined or definition.type not in TYPES:
        return definition.valid_for
    return DEFAULT_DAYS if read_template(definition.cert).not_after is None else 0


def with_defaults(template: CertificateTemplate) -> CertificateTemplate:
    """Fill in what the template leaves open. An explicit empty list stays empty."""
    names = ("localhost",) if template.dns_names is None else template.dns_names
    subject = template.subject
    if not subject.common_name:
        subject = replace(subject, common_name=names[0] if len(names) == 1 else _DEFAULT_NAME)
    return replace(
        template,
        subject=subject,
        dns_names=names,
        ip_addresses=_DEFAULT_ADDRESSES if template.ip_addresses is None else template.ip_addresses,
        key_usage=template.key_usage or _DEFAULT_KEY_USAGE,
        ext_key_usage=_DEFAULT_EXTENDED_USAGE if template.ext_key_usage is None else template.ext_key_usage,
    )


def _contents(definition: Secret, public: bytes, issuer: pki.KeyPair, making: Making) -> Contents:
    template = with_defaults(read_template(definition.cert))
    begin = making.at.astimezone(UTC).replace(microsecond=0)
    end = begin + timedelta(days=valid_days(definition))
    if template.not_after is not None and not definition.valid_for:
        end = template.not_after.astimezone(UTC)
    return Contents(
        template=template,
        serial=pki.new_serial(making.random),
        not_before=begin,
        not_after=end,
        spki=public,
        marking=pki.marking_of(issuer.certificate),
    )


def _check_size(name: str, definition: Secret) -> None:
    size = definition.size
    if definition.type == ECDSA and size not in _CURVES:
        raise ManifestRefusedError(f"invalid secret size for cert-ecdsa secret {name}")
    if definition.type == ED25519 and size:
        raise ManifestRefusedError(f"invalid secret size for cert-ed25519 secret {name}")
    if definition.type == RSA and not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
        raise ManifestRefusedError(
            f"invalid secret size for cert-rsa secret {name}: {size} bits, "
            f"{MIN_RSA_BITS} to {MAX_RSA_BITS} are possible"
        )


def _create_key(definition: Secret, random: Random) -> PrivateKey:
    """Make the private key; RSA alone has no other randomness than OpenSSL's own."""
    if definition.type == RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=definition.size)
    if definition.type == ED25519:
        return Ed25519PrivateKey.from_private_bytes(random(32))
    curve = _CURVES.get(definition.size)
    if curve is None:
        raise ValueError("no curve of this size")
    return pki.new_key(curve, random)
