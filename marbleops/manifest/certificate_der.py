"""A finished certificate as a template: what Go's ``ParseCertificate`` keeps of it (marblerun-core 1.7, 5.4).

MarbleRun makes a stored certificate anew from its own parsed form; so it is read here with Go's eyes: names
other than DNS, e-mail, IP and URI are passed over, and further extensions are not carried over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, SignatureAlgorithmOID

from marbleops.manifest.certificate_template import CertificateTemplate, CertificateTemplateError, Subtrees

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

EXT_KEY_USAGES: Final = (
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.1",
    "1.3.6.1.5.5.7.3.2",
    "1.3.6.1.5.5.7.3.3",
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.5",
    "1.3.6.1.5.5.7.3.6",
    "1.3.6.1.5.5.7.3.7",
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
    "1.3.6.1.4.1.311.10.3.3",
    "2.16.840.1.113730.4.1",
    "1.3.6.1.4.1.311.2.1.22",
    "1.3.6.1.4.1.311.61.1.1",
)
"""Identifiers of the extended key usages by Go's numbers (marblerun-core 1.7)."""


_ALGORITHMS: Final = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: 10,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: 11,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: 12,
}
_OTHER_ALGORITHM: Final = -1
_UNREADABLE: Final = (
    ValueError,
    KeyError,  # an unknown TLS feature
    TypeError,  # a bit string in a name
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What ``cryptography`` raises on certificates that strangers make up; a fuzzer found them."""


def read_certificate(der: bytes) -> CertificateTemplate:
    """Read a certificate in DER as a template.

    Raises:
        CertificateTemplateError: the bytes are no certificate, or one with a broken extension.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        return _read(der, certificate)
    except _UNREADABLE as error:
        raise CertificateTemplateError("malformed certificate: not a certificate in DER") from error


def _read(der: bytes, certificate: x509.Certificate) -> CertificateTemplate:
    # Values of different classes; each is asked for by its own identifier.
    extensions: dict[x509.ObjectIdentifier, Any] = {each.oid: each.value for each in certificate.extensions}
    critical = {each.oid for each in certificate.extensions if each.critical}
    known, unknown = _usages(extensions.get(x509.ExtendedKeyUsage.oid))
    basic = extensions.get(x509.BasicConstraints.oid)
    names = list(extensions.get(x509.SubjectAlternativeName.oid, ()))
    information = list(extensions.get(x509.AuthorityInformationAccess.oid, ()))
    constraints = extensions.get(x509.NameConstraints.oid)
    key_id = extensions.get(x509.SubjectKeyIdentifier.oid)
    authority = extensions.get(x509.AuthorityKeyIdentifier.oid)
    policies = extensions.get(x509.CertificatePolicies.oid, ())
    return CertificateTemplate(
        der=der,
        raw_subject=certificate.subject.public_bytes(),
        not_after=certificate.not_valid_after_utc,
        key_usage=_key_usage(extensions.get(x509.KeyUsage.oid)),
        ext_key_usage=known or None,
        unknown_ext_key_usage=unknown,
        is_ca=basic is not None and basic.ca,
        max_path_len=basic.path_length if basic is not None and basic.ca else None,
        subject_key_id=b"" if key_id is None else key_id.digest,
        authority_key_id=b"" if authority is None else authority.key_identifier or b"",
        dns_names=_values(names, x509.DNSName) or None,
        email_addresses=_values(names, x509.RFC822Name),
        ip_addresses=_values(names, x509.IPAddress) or None,
        uris=_values(names, x509.UniformResourceIdentifier),
        ocsp_servers=_locations(information, AuthorityInformationAccessOID.OCSP),
        issuing_certificate_urls=_locations(information, AuthorityInformationAccessOID.CA_ISSUERS),
        crl_distribution_points=_revocation(extensions.get(x509.CRLDistributionPoints.oid, ())),
        policy_identifiers=tuple(policy.policy_identifier.dotted_string for policy in policies),
        name_constraints_critical=x509.NameConstraints.oid in critical,
        permitted=_subtrees(constraints.permitted_subtrees if constraints else None),
        excluded=_subtrees(constraints.excluded_subtrees if constraints else None),
        signature_algorithm=_ALGORITHMS.get(certificate.signature_algorithm_oid, _OTHER_ALGORITHM),
    )


def _usages(usage: Iterable[x509.ObjectIdentifier] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part the extended key usages into those that Go numbers and the others."""
    listed = [each.dotted_string for each in usage or ()]
    known = tuple(oid for oid in listed if oid in EXT_KEY_USAGES)
    return known, tuple(oid for oid in listed if oid not in EXT_KEY_USAGES)


def _key_usage(usage: x509.KeyUsage | None) -> int:
    if usage is None:
        return 0
    agreement = usage.key_agreement
    flags = (
        usage.digital_signature,
        usage.content_commitment,
        usage.key_encipherment,
        usage.data_encipherment,
        agreement,
        usage.key_cert_sign,
        usage.crl_sign,
        agreement and usage.encipher_only,
        agreement and usage.decipher_only,
    )
    return sum(1 << place for place, flag in enumerate(flags) if flag)


def _values(names: Iterable[x509.GeneralName], kind: type[x509.GeneralName]) -> tuple[Any, ...]:
    return tuple(name.value for name in names if isinstance(name, kind))


def _locations(
    information: Iterable[x509.AccessDescription], method: x509.ObjectIdentifier
) -> tuple[str, ...]:
    named = [each.access_location for each in information if each.access_method == method]
    return _values(named, x509.UniformResourceIdentifier)


def _revocation(points: Iterable[x509.DistributionPoint]) -> tuple[str, ...]:
    names = [name for point in points for name in point.full_name or ()]
    return _values(names, x509.UniformResourceIdentifier)


def _subtrees(names: Iterable[x509.GeneralName] | None) -> Subtrees:
    listed = list(names or ())
    return Subtrees(
        dns_domains=_values(listed, x509.DNSName),
        ip_ranges=_values(listed, x509.IPAddress),
        email_addresses=_values(listed, x509.RFC822Name),
        uri_domains=_values(listed, x509.UniformResourceIdentifier),
    )
