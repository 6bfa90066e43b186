"""A certificate as DER: subject, extensions and signature, in the order Go writes them.

What the fields mean and which defaults they have stands in ``certificates``; here is only how they are
written (marblerun-core section 3 and 5.4; Go's ``x509.CreateCertificate`` was the measure).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.domain import der_writer as der
from coordinator.domain import pki
from marbleops.attestation.der import read_one
from marbleops.manifest.certificate_template import HASHES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from marbleops.manifest.certificate_template import CertificateTemplate, Extension, Subtrees

_HASHES: Final = {
    "sha256": ("1.2.840.10045.4.3.2", hashes.SHA256()),
    "sha384": ("1.2.840.10045.4.3.3", hashes.SHA384()),
    "sha512": ("1.2.840.10045.4.3.4", hashes.SHA512()),
}
_VERSION_3: Final = 2
_EXTENSIONS: Final = 64
"""Remembered encodings: the marbles of a deployment have the same ones, up to their names."""
_SEQUENCE: Final = 0x30

_COUNTRY: Final = "2.5.4.6"
_PROVINCE: Final = "2.5.4.8"
_LOCALITY: Final = "2.5.4.7"
_STREET: Final = "2.5.4.9"
_POSTAL_CODE: Final = "2.5.4.17"
_ORGANIZATION: Final = "2.5.4.10"
_ORGANIZATIONAL_UNIT: Final = "2.5.4.11"
_COMMON_NAME: Final = "2.5.4.3"
_SERIAL_NUMBER: Final = "2.5.4.5"

_SUBJECT_KEY_ID: Final = "2.5.29.14"
_KEY_USAGE: Final = "2.5.29.15"
_ALTERNATIVE_NAMES: Final = "2.5.29.17"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_NAME_CONSTRAINTS: Final = "2.5.29.30"
_REVOCATION: Final = "2.5.29.31"
_POLICIES: Final = "2.5.29.32"
_AUTHORITY_KEY_ID: Final = "2.5.29.35"
_EXTENDED_USAGE: Final = "2.5.29.37"
_INFORMATION: Final = "1.3.6.1.5.5.7.1.1"
_OCSP: Final = "1.3.6.1.5.5.7.48.1"
_ISSUERS: Final = "1.3.6.1.5.5.7.48.2"

_EMAIL, _DNS, _URI, _IP = 1, 2, 6, 7
"""The tags of general names (RFC 5280, 4.2.1.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a certificate states: the template with all defaults filled in, and what no template says."""

    template: CertificateTemplate
    serial: int
    not_before: datetime
    not_after: datetime
    spki: bytes
    marking: str | None


def encode_certificate(contents: Contents, issuer: pki.KeyPair) -> bytes:
    """Write and sign a certificate.

    Raises:
        ValueError: the template holds what no certificate can; ``certificates.check`` has refused it before.
    """
    identifier, algorithm = _HASHES[HASHES[contents.template.signature_algorithm]]
    signed_with = der.sequence(der.object_identifier(identifier))
    body = der.sequence(
        der.explicit(0, der.integer(_VERSION_3)),
        der.integer(contents.serial),
        signed_with,
        issuer.subject,
        der.sequence(der.time(contents.not_before), der.time(contents.not_after)),
        encode_subject(contents.template, contents.marking),
        contents.spki,
        der.explicit(3, encode_extensions(contents, issuer.identifier)),
    )
    signature = issuer.key.sign(body, ec.ECDSA(algorithm))
    return der.sequence(body, signed_with, der.bit_string(signature))


def encode_subject(template: CertificateTemplate, marking: str | None) -> bytes:
    """Write the subject. A *marking* is an organization of its own behind everything the template says.

    So it can be seen, and what the template says keeps its place and its bytes.

    Raises:
        ValueError: an identifier that is none.
    """
    names = b"".join(_names(template))
    if template.raw_subject:
        names = read_one(template.raw_subject, _SEQUENCE)
    if marking is not None:
        names += _name(_ORGANIZATION, marking)
    return der.sequence(names)


def _names(template: CertificateTemplate) -> Iterator[bytes]:
    """List the relative names; several values of one attribute are one name of several parts."""
    subject = template.subject
    extra = {identifier for identifier, _ in subject.extra_names}
    for identifier, values in (
        (_COUNTRY, subject.country),
        (_PROVINCE, subject.province),
        (_LOCALITY, subject.locality),
        (_STREET, subject.street_address),
        (_POSTAL_CODE, subject.postal_code),
        (_ORGANIZATION, subject.organization),
        (_ORGANIZATIONAL_UNIT, subject.organizational_unit),
        (_COMMON_NAME, (subject.common_name,) if subject.common_name else ()),
        (_SERIAL_NUMBER, (subject.serial_number,) if subject.serial_number else ()),
    ):
        if values and identifier not in extra:
            yield _name(identifier, *values)
    for identifier, value in subject.extra_names:
        yield _name(identifier, value)


def _name(identifier: str, *values: str) -> bytes:
    kind = der.object_identifier(identifier)
    return der.set_of(der.sequence(kind, der.directory_string(value)) for value in values)


def encode_extensions(contents: Contents, authority: bytes) -> bytes:
    """Write the extensions; one of the template's own with a standard identifier replaces the standard one.

    Raises:
        ValueError: an identifier that is none, or a name with characters beyond ASCII.
    """
    own = contents.template.extra_extensions
    replaced = {extension.oid for extension in own}
    standard = [
        _extension(identifier, value, critical=critical)
        for identifier, critical, value in _standard(contents, authority)
        if identifier not in replaced
    ]
    return der.sequence(*standard, *map(_own_extension, own))


def _standard(contents: Contents, authority: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """List identifier, criticality and value of the extensions that the fields of the template make."""
    template = contents.template
    usages = (*(template.ext_key_usage or ()), *template.unknown_ext_key_usage)
    if template.key_usage:
        yield _KEY_USAGE, True, der.named_bits(template.key_usage)
    if usages:
        yield _EXTENDED_USAGE, False, der.sequence(*map(der.object_identifier, usages))
    yield _BASIC_CONSTRAINTS, True, _basic_constraints(template)
    subject_key = template.subject_key_id or (pki.key_identifier(contents.spki) if template.is_ca else b"")
    if subject_key:
        yield _SUBJECT_KEY_ID, False, der.octets(subject_key)
    yield _AUTHORITY_KEY_ID, False, der.sequence(der.implicit(0, authority))
    if template.ocsp_servers or template.issuing_certificate_urls:
        yield _INFORMATION, False, _information(template)
    names = list(_alternative_names(template))
    if names:
        nameless = encode_subject(template, contents.marking) == der.sequence()
        yield _ALTERNATIVE_NAMES, nameless, der.sequence(*names)
    if template.policy_identifiers:
        policies = (der.sequence(der.object_identifier(each)) for each in template.policy_identifiers)
        yield _POLICIES, False, der.sequence(*policies)
    if template.permitted or template.excluded:
        yield _NAME_CONSTRAINTS, template.name_constraints_critical, _name_constraints(template)
    if template.crl_distribution_points:
        yield _REVOCATION, False, der.sequence(*map(_revocation, template.crl_distribution_points))


@lru_cache(maxsize=_EXTENSIONS)
def _extension(identifier: str, value: bytes, *, critical: bool) -> bytes:
    flag = der.boolean_true() if critical else b""
    return der.sequence(der.object_identifier(identifier), flag, der.octets(value))


def _own_extension(extension: Extension) -> bytes:
    return _extension(extension.oid, extension.value, critical=extension.critical)


def _basic_constraints(template: CertificateTemplate) -> bytes:
    authority = der.boolean_true() if template.is_ca else b""
    length = b"" if template.max_path_len is None else der.integer(template.max_path_len)
    return der.sequence(authority, length)


def _alternative_names(template: CertificateTemplate) -> Iterator[bytes]:
    yield from (der.implicit(_DNS, der.ia5(name)) for name in template.dns_names or ())
    yield from (der.implicit(_EMAIL, der.ia5(address)) for address in template.email_addresses)
    yield from (der.implicit(_IP, _address(address)) for address in template.ip_addresses or ())
    yield from (der.implicit(_URI, der.ia5(uri)) for uri in template.uris)


def _address(address: IPv4Address | IPv6Address) -> bytes:
    """Write an address in 4 bytes where it has them, as Go does."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


def _information(template: CertificateTemplate) -> bytes:
    return der.sequence(
        *(_access(_OCSP, uri) for uri in template.ocsp_servers),
        *(_access(_ISSUERS, uri) for uri in template.issuing_certificate_urls),
    )


def _access(method: str, uri: str) -> bytes:
    return der.sequence(der.object_identifier(method), der.implicit(_URI, der.ia5(uri)))


def _revocation(uri: str) -> bytes:
    """Write a distribution point: its name [0] is a full name [0] of one URI."""
    return der.sequence(der.explicit(0, der.explicit(0, der.implicit(_URI, der.ia5(uri)))))


def _name_constraints(template: CertificateTemplate) -> bytes:
    permitted, excluded = _subtrees(template.permitted), _subtrees(template.excluded)
    return der.sequence(
        der.explicit(0, permitted) if permitted else b"", der.explicit(1, excluded) if excluded else b""
    )


def _subtrees(names: Subtrees) -> bytes:
    bases = [
        *(der.implicit(_DNS, der.ia5(name)) for name in names.dns_domains),
        *(
            der.implicit(_IP, network.network_address.packed + network.netmask.packed)
            for network in names.ip_ranges
        ),
        *(der.implicit(_EMAIL, der.ia5(address)) for address in names.email_addresses),
        *(der.implicit(_URI, der.ia5(domain)) for domain in names.uri_domains),
    ]
    return b"".join(map(der.sequence, bases))
