"""Certificate secrets: defaults, days, what is refused; chains and Go's bytes are in tests/integration."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain import certificates, der_writer, pki
from coordinator.domain.making import Making
from coordinator.errors import ManifestRefusedError
from marbleops.attestation import der
from marbleops.manifest.model import Secret
from tests.fakes.small_world import FakeEntropy

AT = datetime(2026, 11, 23, 4, 24, 53, 290_000, tzinfo=UTC)
MAKING = Making(at=AT, random=FakeEntropy("certificates").bytes)
ISSUER = pki.renew(
    pki.create_root(names=("localhost",), at=AT, random=MAKING.random),
    names=("localhost",),
    at=AT,
    random=MAKING.random,
).marble_root
BEGIN = AT.replace(microsecond=0)


def test_defaults() -> None:
    """An empty template gives MarbleRun's certificate: names, usages, extensions in order."""
    made = _make({})
    assert made.subject.rfc4514_string() == "CN=localhost"
    assert made.issuer.public_bytes() == ISSUER.certificate.subject.public_bytes()
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (BEGIN, BEGIN + timedelta(days=365))
    assert [one.oid for one in made.extensions] == [
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ]
    assert [one.critical for one in made.extensions] == [True, False, True, False, False]
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, True, False)
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    issuer_key = ISSUER.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == issuer_key.digest
    made.verify_directly_issued_by(ISSUER.certificate)
    assert made.serial_number != _make({}).serial_number


def test_an_authority_has_a_key_identifier() -> None:
    """An authority's SKI is SHA-256 cut to 20 bytes, unless the template has one."""
    made = _make({"IsCA": True, "MaxPathLen": 1})
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    found = made.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert found == hashlib.sha256(point).digest()[:20]
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 1)
    own = _make({"IsCA": True, "SubjectKeyId": "AQID"})
    assert own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest == b"\1\2\3"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ({"DNSNames": ["a.example"]}, "CN=a.example"),
        ({"DNSNames": ["a", "b"]}, "CN=MarbleRun Generated Certificate"),
        ({"DNSNames": []}, "CN=MarbleRun Generated Certificate"),
        (
            {"Subject": {"CommonName": "x", "Organization": ["b", "a"], "Country": ["DE"]}},
            "CN=x,O=a+O=b,C=DE",
        ),
    ],
)
def test_subject(template: dict[str, Any], name: str) -> None:
    """The one DNS name names the certificate; the parts stand in Go's order."""
    assert _make(template).subject.rfc4514_string() == name


def test_explicit_emptiness_stays() -> None:
    """Empty lists turn the defaults off."""
    made = _make({"DNSNames": [], "IPAddresses": [], "ExtKeyUsage": []})
    assert {ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.EXTENDED_KEY_USAGE}.isdisjoint(
        one.oid for one in made.extensions
    )


def test_the_end_of_a_certificate() -> None:
    """Days count from the making; a template's own end is kept, and years beyond 2049 can be written."""
    assert _make({}, valid_for=7).not_valid_after_utc == BEGIN + timedelta(days=7)
    assert _make({}, valid_for=40_000).not_valid_after_utc.year == 2136
    fixed = Secret(type="cert-ecdsa", size=256, cert={"NotAfter": "2055-01-01T00:00:00Z"})
    assert _make(fixed.cert).not_valid_after_utc == datetime(2055, 1, 1, tzinfo=UTC)
    assert certificates.valid_days(fixed) == 0
    assert certificates.valid_days(Secret(type="cert-rsa")) == 365
    assert certificates.valid_days(Secret(type="cert-rsa", user_defined=True)) == 0


def test_a_finished_certificate_as_template() -> None:
    """Its subject is taken over byte for byte, its end and usages too; the marking comes behind."""
    whole = _make({"Subject": {"Organization": ["Ours"], "CommonName": "x"}, "KeyUsage": 1})
    text = base64.b64encode(whole.public_bytes(Encoding.DER)).decode()
    again = _make(text)
    assert again.subject.public_bytes() == whole.subject.public_bytes()
    assert again.not_valid_after_utc == whole.not_valid_after_utc
    marked = _issuer(marking="INSECURE")
    seen = _make(text, issuer=marked)
    assert seen.subject.rfc4514_string() == "O=INSECURE,CN=x,O=Ours"
    assert _make({}, issuer=marked).subject.rfc4514_string() == "O=INSECURE,CN=localhost"


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (Secret(type="cert-ecdsa", size=512), "invalid secret size for cert-ecdsa secret s"),
        (Secret(type="cert-ed25519", size=256), "invalid secret size for cert-ed25519 secret s"),
        (Secret(type="cert-rsa", size=1023), "invalid secret size for cert-rsa secret s"),
        (Secret(type="cert-rsa", size=8193), "1024 to 8192"),
        (Secret(type="cert-rsa", size=2048, valid_for=2_000_001), "ValidFor has 2000001 days"),
        (Secret(type="cert-ed25519", cert={"DNSNames": ["ä"]}), "creating certificate: .*IA5"),
        (Secret(type="cert-ed25519", cert={"SignatureAlgorithm": 4}), "SignatureAlgorithm"),
        (Secret(type="cert-ed25519", cert={"MaxPathLen": 4}), "only CAs"),
        (Secret(type="cert-ed25519", cert="AAAA"), "malformed certificate"),
        (
            Secret(type="cert-ed25519", cert={"Subject": {"ExtraNames": [{"Type": [9, 9], "Value": ""}]}}),
            "identifier",
        ),
    ],
)
def test_refused_when_set(definition: Secret, words: str) -> None:
    """What no certificate could be made of is refused with the name of the secret."""
    with pytest.raises(ManifestRefusedError, match=words):
        certificates.check("s", definition)


@given(
    arcs=st.lists(st.integers(0, 2**70), min_size=1, max_size=6),
    number=st.integers(0, 2**140),
    mask=st.integers(1, 511),
    content=st.binary(max_size=300),
)
@settings(max_examples=25, deadline=None)
def test_der_is_what_is_read(arcs: list[int], number: int, mask: int, content: bytes) -> None:
    """Our own strict reader reads every length and number; the first arcs share their bytes."""
    assert der.read_one(der_writer.octets(content), der.OCTET_STRING) == content
    assert der.unsigned(der.read_all(der_writer.integer(number))[0]) == number
    (bits,) = der.read_all(der_writer.named_bits(mask))
    flags = "".join(f"{byte:08b}" for byte in bits.content[1:])
    assert [index for index, flag in enumerate(flags) if flag == "1"] == [
        bit for bit in range(9) if mask >> bit & 1
    ]
    assert flags[: len(flags) - bits.content[0]].endswith("1")
    dotted = ".".join(map(str, (2, *arcs)))
    (written,) = der.read_all(der_writer.object_identifier(dotted))
    values, value = [], 0
    for byte in written.content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            values.append(value)
            value = 0
    assert values == [80 + arcs[0], *arcs[1:]]


@pytest.mark.parametrize("dotted", ["", "1", "3.1", "1.40", "1.02", "1.2.", "1.2.x", "1.2.-3"])
def test_no_identifier(dotted: str) -> None:
    """A text that is no object identifier is refused."""
    with pytest.raises(ValueError, match="not an object identifier"):
        der_writer.object_identifier(dotted)


def _issuer(*, marking: str) -> pki.KeyPair:
    root = pki.create_root(names=("localhost",), at=AT, random=MAKING.random, marking=marking)
    return pki.renew(root, names=("localhost",), at=AT, random=MAKING.random).marble_root


def _make(template: Any, *, valid_for: int = 0, issuer: pki.KeyPair = ISSUER) -> x509.Certificate:
    definition = Secret(type="cert-ecdsa", size=256, shared=True, cert=template, valid_for=valid_for)
    certificates.check("s", definition)
    _, public, made = certificates.create(definition, issuer=issuer, making=MAKING)
    certificate = x509.load_der_x509_certificate(made)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key == public
    return certificate
