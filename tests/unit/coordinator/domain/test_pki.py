"""Certificate profiles, field by field as marblerun-core section 3 has them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from coordinator.domain import pki
from coordinator.domain.leaf import MAX_CSR_BYTES, issue_leaf
from coordinator.errors import ActivationFailedError
from tests.fakes.small_world import FakeEntropy, make_csr

AT = datetime(2026, 11, 23, 4, 24, 53, 290_000, tzinfo=UTC)
NAMES = ("localhost", "10.1.2.3", "coordinator.example", "127.0.0.1")
RANDOM = FakeEntropy("pki").bytes
ROOT = pki.create_root(names=NAMES, at=AT, random=RANDOM)
AUTHORITIES = pki.renew(ROOT, names=NAMES, at=AT, random=RANDOM)
UUID = "02030400-0000-4000-8000-0000000000ab"

_ALL = [
    (AUTHORITIES.root, "root"),
    (AUTHORITIES.intermediate, "intermediate"),
    (AUTHORITIES.marble_root, "marble root"),
]


@pytest.mark.parametrize("pair", [pair for pair, _ in _ALL], ids=[name for _, name in _ALL])
def test_authorities_have_the_profile(pair: pki.KeyPair) -> None:
    """Key, signature, validity, usage, constraints and names of every authority."""
    certificate = pair.certificate
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP384R1)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA384)
    assert certificate.not_valid_before_utc == AT.replace(microsecond=0)
    assert (
        certificate.not_valid_after_utc - certificate.not_valid_before_utc
    ).total_seconds() == 9_223_372_036
    usage = _extension(certificate, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign, usage.key_agreement) == (
        True,
        True,
        False,
        False,
    )
    eku = _extension(certificate, x509.ExtendedKeyUsage)
    assert list(eku) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = _extension(certificate, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length) == (True, None)
    sans = _extension(certificate, x509.SubjectAlternativeName)
    assert sans.get_values_for_type(x509.DNSName) == ["localhost", "coordinator.example"]
    assert sans.get_values_for_type(x509.IPAddress) == [
        ip_address(a) for a in ("127.0.0.1", "::1", "10.1.2.3")
    ]
    assert pki.names_of(certificate) == ("localhost", "coordinator.example", "10.1.2.3")


def test_key_identifiers_and_order() -> None:
    """SKI is SHA-256 cut to 20 bytes; only the intermediate has an AKI; extensions stand in Go's order."""
    point = ROOT.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    ski = hashlib.sha256(point).digest()[:20]
    assert _extension(ROOT.certificate, x509.SubjectKeyIdentifier).digest == ski
    assert _extension(AUTHORITIES.intermediate.certificate, x509.AuthorityKeyIdentifier).key_identifier == ski
    base = [ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.BASIC_CONSTRAINTS]
    ski_oid, aki_oid, san_oid = (
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    )
    assert _order(ROOT.certificate) == [*base, ski_oid, san_oid]
    assert _order(AUTHORITIES.marble_root.certificate) == [*base, ski_oid, san_oid]
    assert _order(AUTHORITIES.intermediate.certificate) == [*base, ski_oid, aki_oid, san_oid]
    assert _order(_leaf().certificate) == [*base, aki_oid, san_oid, pki.MARBLE_TYPE_OID]


def test_intermediate_and_marble_root_are_one_authority() -> None:
    """Same key, same subject; a leaf verifies under both."""
    intermediate, marble_root = AUTHORITIES.intermediate, AUTHORITIES.marble_root
    assert intermediate.spki == marble_root.spki
    assert intermediate.certificate.subject.public_bytes() == marble_root.certificate.subject.public_bytes()
    assert _common_name(ROOT) == "MarbleRun Coordinator"
    assert _common_name(intermediate) == "MarbleRun Coordinator - Intermediate CA"
    leaf = _leaf().certificate
    leaf.verify_directly_issued_by(marble_root.certificate)
    leaf.verify_directly_issued_by(intermediate.certificate)
    intermediate.certificate.verify_directly_issued_by(ROOT.certificate)
    assert leaf.issuer.public_bytes() == marble_root.certificate.subject.public_bytes()


def test_leaf_has_the_profile() -> None:
    """The leaf has its own key, the UUID as name, the CSR's names, and the marble's type raw."""
    pair = _leaf()
    certificate = pair.certificate
    assert pair.spki != _requester().spki
    assert [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [UUID]
    assert not certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.COUNTRY_NAME)] == ["DE"]
    sans = _extension(certificate, x509.SubjectAlternativeName)
    assert sans.get_values_for_type(x509.DNSName) == ["backend"]
    assert sans.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.9")]
    assert sans.get_values_for_type(x509.RFC822Name) == []
    usage = _extension(certificate, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_agreement, usage.key_cert_sign) == (True, True, False)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    typed = certificate.extensions.get_extension_for_oid(pki.MARBLE_TYPE_OID)
    assert (typed.critical, typed.value.public_bytes()) == (False, "bäckend".encode())


_OF_VERSION_6 = make_csr().replace(bytes.fromhex("020100"), bytes.fromhex("020105"), 1)


@pytest.mark.parametrize("csr", [b"", b"junk", b"0" * (MAX_CSR_BYTES + 1), _OF_VERSION_6])
def test_bad_csr(csr: bytes) -> None:
    """A CSR that cannot be read is refused."""
    with pytest.raises(ActivationFailedError, match="CSR"):
        _issue(csr)


def test_csr_of_another_key() -> None:
    """A CSR whose signature is not by its own key is refused."""
    forged = bytearray(_csr())
    forged[-1] ^= 1
    with pytest.raises(ActivationFailedError, match=r"signature over CSR is invalid|parsing CSR"):
        _issue(bytes(forged))


def test_several_values_are_one_name() -> None:
    """Values of one attribute stand together, as Go writes them; of serial numbers the last counts."""
    key = ROOT.key
    asked = [
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "b"),
        (NameOID.SERIAL_NUMBER, "1"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "a"),
        (NameOID.ORGANIZATION_NAME, "dropped"),
        (NameOID.SERIAL_NUMBER, "2"),
        (NameOID.COUNTRY_NAME, "DE"),
    ]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in asked])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA384())
    issued = _issue(request.public_bytes(Encoding.DER)).certificate
    assert issued.subject.rfc4514_string() == f"2.5.4.5=2,CN={UUID},OU=a+OU=b,C=DE"


def test_renewal_keeps_the_root() -> None:
    """A renewal makes another intermediate and keeps the root."""
    renewed = pki.renew(ROOT, names=NAMES, at=AT, random=RANDOM)
    assert renewed.root is ROOT
    assert renewed.intermediate.spki != AUTHORITIES.intermediate.spki


def test_a_marking_reaches_every_certificate() -> None:
    """On an insecure platform the organization says so from the root to a leaf, whatever the CSR asks."""
    root = pki.create_root(names=NAMES, at=AT, random=RANDOM, marking="INSECURE")
    authorities = pki.renew(root, names=NAMES, at=AT, random=RANDOM)
    authorities = pki.renew(authorities.root, names=NAMES, at=AT, random=RANDOM)
    leaf = issue_leaf(authorities, csr=_csr(), uuid=UUID, marble_type="backend", at=AT, random=RANDOM)

    pairs = (authorities.root, authorities.intermediate, authorities.marble_root, leaf)
    assert [pki.marking_of(pair.certificate) for pair in pairs] == ["INSECURE"] * 4
    assert pki.marking_of(ROOT.certificate) is None
    assert authorities.intermediate.certificate.issuer == authorities.root.certificate.subject
    assert leaf.certificate.issuer == authorities.marble_root.certificate.subject


def test_pairs_load_only_together() -> None:
    """A key and another key's certificate are no pair; keys are not in the repr."""
    again = pki.KeyPair.load(key_pkcs8=ROOT.key_pkcs8, certificate_der=ROOT.certificate_der)
    assert again.key_pkcs8 == ROOT.key_pkcs8
    with pytest.raises(ValueError, match="not for this key"):
        pki.KeyPair.load(key_pkcs8=ROOT.key_pkcs8, certificate_der=AUTHORITIES.intermediate.certificate_der)
    assert "key=" not in repr(ROOT)


def _leaf() -> pki.KeyPair:
    return _issue(_csr())


def _issue(csr: bytes) -> pki.KeyPair:
    return issue_leaf(AUTHORITIES, csr=csr, uuid=UUID, marble_type="bäckend", at=AT, random=RANDOM)


def _requester() -> pki.KeyPair:
    return ROOT


def _csr() -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dropped"),
            x509.NameAttribute(NameOID.COMMON_NAME, "dropped too"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        ]
    )
    names = [
        x509.DNSName("backend"),
        x509.RFC822Name("a@example.org"),
        x509.IPAddress(ip_address("10.0.0.9")),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(_requester().key, hashes.SHA384()).public_bytes(Encoding.DER)


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def _order(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return [extension.oid for extension in certificate.extensions]


def _common_name(pair: pki.KeyPair) -> str | bytes:
    (attribute,) = pair.certificate.subject
    return attribute.value
