"""The certificate a secret asks for, as a value (marblerun-core 1.7 and 5.4).

``certificate_read`` makes it from the field ``Cert`` or from a finished certificate. What Go leaves unset and
fills in later (``localhost``, the loopback addresses, the usages) is ``None`` here and filled in by whoever
makes the certificate. ``check_creatable`` refuses at set time what no certificate could be made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from marbleops.manifest.position import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from marbleops.manifest.position import JsonPath

HASHES: Final = {0: "sha384", 10: "sha256", 11: "sha384", 12: "sha512"}
"""Go's numbers of the signature algorithms that the signer, a P-384 key, can make; 0 lets it choose."""


class CertificateTemplateError(Exception):
    """A template that is refused; ``path`` leads to the place below the field ``Cert``."""

    def __init__(self, message: str, path: JsonPath = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The fields of Go's ``pkix.Name``. ``extra_names`` are pairs of dotted identifier and text.

    An extra name replaces the field of the same type and stands behind the others.
    """

    country: tuple[str, ...] = ()
    province: tuple[str, ...] = ()
    locality: tuple[str, ...] = ()
    street_address: tuple[str, ...] = ()
    postal_code: tuple[str, ...] = ()
    organization: tuple[str, ...] = ()
    organizational_unit: tuple[str, ...] = ()
    common_name: str = ""
    serial_number: str = ""
    extra_names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A further extension, its ``value`` in DER. A standard identifier replaces the standard extension."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtrees:
    """Names that an authority may, or may not, sign for."""

    dns_domains: tuple[str, ...] = ()
    ip_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    email_addresses: tuple[str, ...] = ()
    uri_domains: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any name."""
        return bool(self.dns_domains or self.ip_ranges or self.email_addresses or self.uri_domains)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTemplate:
    """What the certificate of a secret is to contain. Identifiers are dotted; nothing here is secret.

    ``der`` is the finished certificate where the field held one, and ``raw_subject`` its subject in DER,
    which goes before ``subject``. ``None`` means *not said*: defaults apply, which an empty list turns off.
    """

    der: bytes = b""
    raw_subject: bytes = b""
    subject: Subject = field(default_factory=Subject)
    not_after: datetime | None = None
    key_usage: int = 0
    ext_key_usage: tuple[str, ...] | None = None
    unknown_ext_key_usage: tuple[str, ...] = ()
    is_ca: bool = False
    max_path_len: int | None = None
    subject_key_id: bytes = b""
    authority_key_id: bytes = b""
    dns_names: tuple[str, ...] | None = None
    email_addresses: tuple[str, ...] = ()
    ip_addresses: tuple[IPv4Address | IPv6Address, ...] | None = None
    uris: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    issuing_certificate_urls: tuple[str, ...] = ()
    crl_distribution_points: tuple[str, ...] = ()
    policy_identifiers: tuple[str, ...] = ()
    name_constraints_critical: bool = False
    permitted: Subtrees = field(default_factory=Subtrees)
    excluded: Subtrees = field(default_factory=Subtrees)
    signature_algorithm: int = 0
    extra_extensions: tuple[Extension, ...] = ()


def check_creatable(template: CertificateTemplate) -> None:
    """Refuse a template from which Go could not make a certificate.

    Raises:
        CertificateTemplateError: with the place of the field.
    """
    if template.signature_algorithm not in HASHES:
        message = "requested SignatureAlgorithm does not match private key type: the signer is ECDSA P-384"
        raise CertificateTemplateError(message, ("SignatureAlgorithm",))
    if template.max_path_len is not None and not template.is_ca:
        raise CertificateTemplateError("only CAs are allowed to specify MaxPathLen", ("MaxPathLen",))
    for place, text in _texts(template):
        if not text.isascii():
            raise CertificateTemplateError(f"{shown(text)!r} cannot be encoded as an IA5String", place)
    seen: set[str] = set()
    for index, extension in enumerate(template.extra_extensions):
        if extension.oid in seen:
            message = f"certificate contains duplicate extension with OID {extension.oid}"
            raise CertificateTemplateError(message, ("ExtraExtensions", index, "Id"))
        seen.add(extension.oid)


def _texts(template: CertificateTemplate) -> Iterator[tuple[JsonPath, str]]:
    """List the texts that a certificate can only hold in ASCII."""
    lists: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("DNSNames", template.dns_names or ()),
        ("EmailAddresses", template.email_addresses),
        ("URIs", template.uris),
        ("OCSPServer", template.ocsp_servers),
        ("IssuingCertificateURL", template.issuing_certificate_urls),
        ("CRLDistributionPoints", template.crl_distribution_points),
        ("PermittedDNSDomains", template.permitted.dns_domains),
        ("ExcludedDNSDomains", template.excluded.dns_domains),
        ("PermittedEmailAddresses", template.permitted.email_addresses),
        ("ExcludedEmailAddresses", template.excluded.email_addresses),
        ("PermittedURIDomains", template.permitted.uri_domains),
        ("ExcludedURIDomains", template.excluded.uri_domains),
    )
    for name, values in lists:
        for index, value in enumerate(values):
            yield (name, index), value
