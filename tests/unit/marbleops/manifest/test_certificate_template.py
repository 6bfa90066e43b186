"""Certificate templates: read with Go's eyes, and refused at set time where no certificate could be made."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from marbleops.manifest.certificate_read import join_uri, read_template
from marbleops.manifest.certificate_template import (
    CertificateTemplate,
    CertificateTemplateError,
    Extension,
    Subject,
    Subtrees,
    check_creatable,
)
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load
from tests.fakes.logins import login, of_no_known_version

FULL = {
    "Subject": {
        "Country": ["DE"],
        "Organization": ["Bäcker", "Co"],
        "OrganizationalUnit": ["u"],
        "Locality": ["Bochum"],
        "Province": ["NRW"],
        "StreetAddress": ["s 1"],
        "PostalCode": ["44"],
        "SerialNumber": "7",
        "CommonName": "web",
        "ExtraNames": [{"Type": [2, 5, 4, 42], "Value": "given"}],
    },
    "NotAfter": "2030-01-01T00:00:00.5+02:00",
    "KeyUsage": 33,
    "ExtKeyUsage": [1, 0],
    "UnknownExtKeyUsage": [[2, 999, 3]],
    "IsCA": True,
    "MaxPathLenZero": True,
    "SubjectKeyId": "AQI=",
    "AuthorityKeyId": [3, 4],
    "DNSNames": [],
    "EmailAddresses": ["a@b.c"],
    "IPAddresses": ["::ffff:1.2.3.4", "::1"],
    "URIs": [{"Scheme": "https", "Host": "a", "Path": "/x y"}],
    "OCSPServer": ["http://o"],
    "IssuingCertificateURL": ["http://i"],
    "CRLDistributionPoints": ["http://c"],
    "PolicyIdentifiers": [[1, 2, 3]],
    "PermittedDNSDomainsCritical": True,
    "PermittedDNSDomains": [".a"],
    "ExcludedIPRanges": [{"IP": "10.1.0.0", "Mask": "/wAAAA=="}],
    "PermittedEmailAddresses": [".b"],
    "ExcludedURIDomains": [".c"],
    "SignatureAlgorithm": 12,
    "ExtraExtensions": [{"Id": [1, 2], "Critical": True, "Value": "BQA="}],
}


def test_every_field() -> None:
    """Every field that matters is read (marblerun-core 1.7)."""
    assert read_template(FULL) == CertificateTemplate(
        subject=Subject(
            country=("DE",),
            province=("NRW",),
            locality=("Bochum",),
            street_address=("s 1",),
            postal_code=("44",),
            organization=("Bäcker", "Co"),
            organizational_unit=("u",),
            common_name="web",
            serial_number="7",
            extra_names=(("2.5.4.42", "given"),),
        ),
        not_after=datetime(2029, 12, 31, 22, tzinfo=UTC),
        key_usage=33,
        ext_key_usage=("1.3.6.1.5.5.7.3.1", "2.5.29.37.0"),
        unknown_ext_key_usage=("2.999.3",),
        is_ca=True,
        max_path_len=0,
        subject_key_id=b"\1\2",
        authority_key_id=b"\3\4",
        dns_names=(),
        email_addresses=("a@b.c",),
        ip_addresses=(ip_address("1.2.3.4"), ip_address("::1")),
        uris=("https://a/x%20y",),
        ocsp_servers=("http://o",),
        issuing_certificate_urls=("http://i",),
        crl_distribution_points=("http://c",),
        policy_identifiers=("1.2.3",),
        name_constraints_critical=True,
        permitted=Subtrees(dns_domains=(".a",), email_addresses=(".b",)),
        excluded=Subtrees(ip_ranges=(ip_network("10.0.0.0/8"),), uri_domains=(".c",)),
        signature_algorithm=12,
        extra_extensions=(Extension(oid="1.2", critical=True, value=b"\5\0"),),
    )
    check_creatable(read_template(FULL))


@pytest.mark.parametrize("value", [None, {}, {"NotAfter": "0001-01-01T00:00:00Z", "MaxPathLen": -1}])
def test_nothing_said(value: Any) -> None:
    """What is not said stays open: defaults are the maker's."""
    assert read_template(value) == CertificateTemplate()


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ({"NotAfter": "2030-02-30T00:00:00Z"}, "NotAfter"),
        ({"NotAfter": "2030-01-01 00:00:00Z"}, "NotAfter"),
        ({"NotAfter": "2030-01-01T00:00:00"}, "NotAfter"),
        ({"NotAfter": "0001-01-01T00:00:00+23:00"}, "NotAfter"),
        ({"IPAddresses": ["fe80::1%eth0"]}, "IPAddresses[0]"),
        ({"IPAddresses": ["1.2.3.4", "x"]}, "IPAddresses[1]"),
        ({"UnknownExtKeyUsage": [[1, 40]]}, "UnknownExtKeyUsage[0]"),
        ({"PolicyIdentifiers": [[1, 2], [1]]}, "PolicyIdentifiers[1]"),
        ({"PermittedIPRanges": [{"IP": "10.0.0.1", "Mask": "/wD/AA=="}]}, "PermittedIPRanges[0].Mask"),
        ({"PermittedIPRanges": [{"IP": "10.0.0.1", "Mask": "/w=="}]}, "PermittedIPRanges[0].Mask"),
        ({"SubjectKeyId": "?"}, "SubjectKeyId"),
        ({"ExtraExtensions": [{"Value": "AA=="}]}, "ExtraExtensions[0].Id"),
        ({"Subject": {"ExtraNames": [{"Type": [2, 5, 4, 3], "Value": 5}]}}, "Subject.ExtraNames[0].Value"),
        ({"SignatureAlgorithm": 4}, "SignatureAlgorithm"),
        ({"MaxPathLen": 1}, "MaxPathLen"),
        ({"DNSNames": ["é"]}, "DNSNames[0]"),
        ({"EmailAddresses": ["a@b", "ä@b"]}, "EmailAddresses[1]"),
        ({"ExtraExtensions": [{"Id": [1, 2]}, {"Id": [1, 2]}]}, "ExtraExtensions[1].Id"),
    ],
)
def test_refused_when_set(member: dict[str, Any], path: str) -> None:
    """A template no certificate can be made from is refused with the manifest, at its place."""
    document = {
        "Packages": {"p": {"UniqueID": "00"}},
        "Marbles": {"m": {"Package": "p"}},
        "Secrets": {"s": {"Type": "cert-ecdsa", "Size": 256, "cert": member}},
    }

    with pytest.raises(ManifestError) as caught:
        load(json.dumps(document, indent=1).encode(), strictness=Strictness.MARBLERUN)

    (issue,) = caught.value.issues
    assert issue.path == f"Secrets.s.Cert.{path}"
    assert (issue.line or 0) > 1


_OF_VERSION_6 = base64.b64encode(of_no_known_version(login("anna").certificate_der)).decode()


def _with(extension: x509.ExtensionType, found: str, made: str) -> str:
    """Return a certificate in which the bytes *found* of an extension are others."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    at = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, at, at)
    der = (
        builder.add_extension(extension, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    )
    assert bytes.fromhex(found) in der
    return base64.b64encode(der.replace(bytes.fromhex(found), bytes.fromhex(made))).decode()


_FEATURE_98 = _with(x509.TLSFeature([x509.TLSFeatureType.status_request]), "3003020105", "3003020162")
_BITS_IN_A_NAME = _with(
    x509.SubjectAlternativeName(
        [x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")]))]
    ),
    "5504030c0161",
    "550403030161",
)


@pytest.mark.parametrize("text", ["?", "AAAA", _OF_VERSION_6, _FEATURE_98, _BITS_IN_A_NAME])
def test_refused_text(text: str) -> None:
    """A text is the base64 of a certificate; MarbleRun would pass over text that is not base64."""
    with pytest.raises(CertificateTemplateError, match="malformed certificate"):
        read_template(text)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"Scheme": "https", "Host": "a", "Path": "/é?#!*'()$&+,;=:@~[]"}, "https://a/%C3%A9%3F%23%21%2A%27%28%29$&+,;=:@~%5B%5D"),
        ({"Scheme": "urn", "Opaque": "a:b"}, "urn:a:b"),
        ({"Path": "a:b"}, "./a:b"),
        ({"Host": "a b", "Path": "x", "RawQuery": "q=1", "Fragment": "f !é"}, "//a%20b/x?q=1#f%20!%C3%A9"),
        ({"Scheme": "s", "Host": "h", "Path": "/a/b", "RawPath": "/a%2fb"}, "s://h/a%2fb"),
        ({"Scheme": "s", "Host": "h", "Path": "/a/b", "RawPath": "/other"}, "s://h/a/b"),
        ({"Scheme": "file", "Path": "/a"}, "file:///a"),
        ({"Host": "h", "Path": "/a"}, "//h/a"),
        ({}, ""),
    ],
)  # fmt: skip
def test_uris(parts: dict[str, str], text: str) -> None:
    """A URI is written as Go's ``URL.String`` writes it (measured)."""
    assert join_uri(parts) == text


def certificate() -> bytes:
    """Make a certificate that uses every extension that is read."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "finished")])
    place = x509.UniformResourceIdentifier("http://o")
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3")]
    flags = [True, False, False, False, True, False, False, True, False]
    networks = x509.NameConstraints([x509.IPAddress(ip_network("10.0.0.0/8"))], None)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2027, 1, 1))  # noqa: DTZ001
    for extension in (
        x509.BasicConstraints(ca=True, path_length=2),
        x509.KeyUsage(*flags),
        x509.ExtendedKeyUsage(usage),
        x509.SubjectKeyIdentifier(b"id"),
        x509.SubjectAlternativeName([x509.RFC822Name("a@b"), x509.IPAddress(ip_address("::1"))]),
        x509.AuthorityInformationAccess([access]),
        x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)]),
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.4"), None)]),
    ):
        builder = builder.add_extension(extension, critical=False)
    builder = builder.add_extension(networks, critical=True)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def test_finished_certificate() -> None:
    """A finished certificate is read as Go's parsed form, from which MarbleRun makes the next one."""
    der = certificate()

    template = read_template(base64.b64encode(der).decode())

    assert template.raw_subject.endswith(b"finished")
    assert template == CertificateTemplate(
        der=der,
        raw_subject=template.raw_subject,
        not_after=datetime(2027, 1, 1, tzinfo=UTC),
        key_usage=1 + 16 + 128,
        ext_key_usage=("1.3.6.1.5.5.7.3.1",),
        unknown_ext_key_usage=("1.2.3",),
        is_ca=True,
        max_path_len=2,
        subject_key_id=b"id",
        email_addresses=("a@b",),
        ip_addresses=(ip_address("::1"),),
        ocsp_servers=("http://o",),
        crl_distribution_points=("http://o",),
        policy_identifiers=("1.2.4",),
        name_constraints_critical=True,
        permitted=Subtrees(ip_ranges=(ip_network("10.0.0.0/8"),)),
        signature_algorithm=10,
    )
    check_creatable(template)
