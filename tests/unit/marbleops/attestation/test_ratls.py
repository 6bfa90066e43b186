"""Evidence in certificates: each producer's binding is accepted, and no other key's (attestation.md 1.3)."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation import cbor, ratls
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import ReferenceValues, appraise
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.platform.softpki import derive_key
from marbleops.attestation.verdict import Code, Tee, Verdict

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ANCHORS = Anchors.simulation(smith.ANCHOR)
KEY, OTHER = (derive_key(smith.SEED, label) for label in ("ratls", "other"))
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
CLAIMS_UUID = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")


REFERENCE = ReferenceValues(unique_id=smith.IDENTITY.unique_id.hex())


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def certificate(*extensions: tuple[str, bytes], key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RA-TLS")])
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    )  # fmt: skip
    for oid, value in extensions:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    size = 2 if number < 1 << 16 else 4
    return bytes([kind << 5 | (25 if size == 2 else 26)]) + number.to_bytes(size, "big")


def octets(data: bytes) -> bytes:
    return head(2, len(data)) + data


def claims(spki: bytes = SPKI, *, algorithm: int = 1) -> bytes:
    inner = head(4, 2) + head(0, algorithm) + octets(sha256(spki))
    return head(5, 1) + head(3, 11) + b"pubkey-hash" + octets(inner)


def tagged(quote: bytes, named: bytes) -> bytes:
    return head(6, 60000) + head(4, 2) + octets(quote) + octets(named)


def quote(report_data: bytes) -> bytes:
    return smith.raw_quote(report_data=report_data)


def gramine(named: bytes, report_data: bytes | None = None) -> tuple[str, bytes]:
    raw = quote(sha256(named) if report_data is None else report_data)
    return ratls.GRAMINE_OID, tagged(raw, named)


def oe_evidence(custom_claims: bytes) -> bytes:
    content = quote(sha256(custom_claims)) + custom_claims
    return (3).to_bytes(4, "little") + CLAIMS_UUID + len(content).to_bytes(8, "little") + content


def verify(der: bytes) -> Verdict:
    return ratls.verify_certificate(der, smith.collateral(), anchors=ANCHORS, at=smith.AT)


GOOD = {
    "ego": (ratls.OPEN_ENCLAVE_OID, smith.oe_report(quote(sha256(SPKI)))),
    "open-enclave-report": (ratls.OPEN_ENCLAVE_OID, smith.oe_report(quote(sha256(PEM + b"\0")))),
    "open-enclave-evidence": (ratls.OPEN_ENCLAVE_OID, oe_evidence(PEM + b"\0")),
    "open-enclave-old": (ratls.OPEN_ENCLAVE_OLD_OID, smith.oe_report(quote(sha256(PEM + b"\0")))),
    "gramine": gramine(claims()),
    "gramine-legacy": (ratls.GRAMINE_LEGACY_OID, quote(sha256(SPKI))),
}


@pytest.mark.parametrize("extension", GOOD.values(), ids=GOOD)
def test_each_producer(extension: tuple[str, bytes]) -> None:
    """The certificate of each producer verifies, and with another key in its place it does not."""
    verdict = verify(certificate(extension))
    assert verdict.report is not None
    bound = verdict.report.report_data[:32]  # what the key binding has compared already
    assert appraise(verdict, REFERENCE, report_data=bound).accepted
    other = verify(certificate(extension, key=OTHER))

    assert verdict.code is Code.OK, verdict.detail
    assert verdict.checks[-1].name == "Key binding"
    assert other.code is Code.RATLS_KEY_BINDING
    assert not other.checks[-1].ok


@pytest.mark.parametrize(
    ("extensions", "code"),
    [
        ((), Code.RATLS_CERTIFICATE),
        ((GOOD["ego"], GOOD["gramine"]), Code.RATLS_CERTIFICATE),
        (((ratls.GRAMINE_OID, quote(sha256(SPKI))),), Code.RATLS_CERTIFICATE),
        ((gramine(claims(algorithm=7)),), Code.RATLS_CERTIFICATE),
        ((gramine(claims(), sha256(b"others")),), Code.RATLS_KEY_BINDING),
        ((gramine(claims(b"another key")),), Code.RATLS_KEY_BINDING),
        ((gramine(b"\xa0"),), Code.RATLS_CERTIFICATE),
        (((ratls.GRAMINE_OID, tagged(b"", b"")),), Code.RATLS_CERTIFICATE),
        (((ratls.GRAMINE_OID, head(6, 60000) + head(4, 2) + b"\1\2"),), Code.RATLS_CERTIFICATE),
        (((ratls.GRAMINE_LEGACY_OID, quote(sha256(SPKI) + b"\1")),), Code.RATLS_KEY_BINDING),
        (((ratls.GRAMINE_LEGACY_OID, b"junk"),), Code.QUOTE_TRUNCATED),
        (((ratls.OPEN_ENCLAVE_OID, oe_evidence(b"")),), Code.RATLS_KEY_BINDING),
    ],
)
def test_bad_certificates(extensions: tuple[tuple[str, bytes], ...], code: Code) -> None:
    """Nothing, two, claims for another key, claims nobody hashed, a tail: each has its code."""
    verdict = verify(certificate(*extensions))

    assert (verdict.code, verdict.checks[-1].ok) == (code, False), verdict.detail


def test_trust_domains_have_certificates_too() -> None:
    """The carrier does not care what kind of quote it carries."""
    named = claims()
    der = certificate((ratls.GRAMINE_OID, tagged(tdsmith.quote(report_data=sha256(named)), named)))

    verdict = ratls.verify_certificate(der, tdsmith.collateral(), anchors=ANCHORS, at=smith.AT)

    assert verdict.code is Code.OK
    assert verdict.report is not None
    assert verdict.report.tee is Tee.TDX


@pytest.mark.parametrize("der", [b"", b"junk", bytes(50_000), certificate(GOOD["ego"])[:-1]])
def test_no_certificate(der: bytes) -> None:
    """What is no certificate, or too long for one, is said to be that."""
    assert verify(der).code is Code.RATLS_CERTIFICATE


@given(st.binary(max_size=60))
@settings(max_examples=25, deadline=None)
def test_arbitrary_cbor(data: bytes) -> None:
    """Arbitrary bytes are a value or the reader's own error."""
    with contextlib.suppress(cbor.CborError):
        cbor.decode(data)


@given(offset=st.integers(0, 200), patch=st.binary(max_size=3))
@settings(max_examples=15, deadline=None)
def test_mutated_claims(offset: int, patch: bytes) -> None:
    """Mutated tagged evidence is refused with a code, or is still what it was."""
    value = GOOD["gramine"][1]
    place = len(value) - 1 - offset
    der = certificate((ratls.GRAMINE_OID, value[:place] + patch + value[place + 1 :]))
    with contextlib.suppress(RejectedError):
        ratls.find_evidence(der)


@pytest.mark.parametrize(
    "data", [b"\x81" * 6 + b"\0", b"\xa2\1\1\1\2", b"\x5f\xff", b"\x9a\xff\xff\xff\xff", b"\xf6", b"\0\0"]
)
def test_cbor_is_bounded(data: bytes) -> None:
    """Deep, doubled, indefinite, endless, null and trailing: refused."""
    with pytest.raises(cbor.CborError):
        cbor.decode(data)
