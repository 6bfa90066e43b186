"""The verifier against every SGX row of attestation.md 2.8, on a machine whose keys the tests hold."""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation.anchors import AnchorError, Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.dcap import verify_quote, verify_with_memo
from marbleops.attestation.platform.softpki import build_pki, sign
from marbleops.attestation.platform.softquote import build_collateral
from marbleops.attestation.verdict import Code, Report, TcbStatus, Verdict

if TYPE_CHECKING:
    from marbleops.attestation.collateral import Collateral

ANCHORS = Anchors.simulation(smith.ANCHOR)
SCENARIOS = smith.scenarios()
QUOTE = smith.raw_quote()
GOOD = smith.collateral()
VERIFIER = QuoteVerifier(ANCHORS)
REFUSED = Code.CHAIN_UNTRUSTED_ROOT
UUID_SGX_ECDSA = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
UUID_RAW_QUOTE = bytes.fromhex("1923d91e12d24c72b22025cd8dace871")


def verify(evidence: bytes, *, at: datetime = smith.AT, collateral: Collateral = GOOD) -> Verdict:
    return verify_quote(evidence, collateral, anchors=ANCHORS, at=at)


def evidence_v3(identifier: bytes, content: bytes) -> bytes:
    return (3).to_bytes(4, "little") + identifier + len(content).to_bytes(8, "little") + content


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: smith.Scenario) -> None:
    """Each scenario gets its stable code, its status, and a ledger whose last entry is the failure."""
    verdict = verify_quote(
        scenario.quote,
        scenario.collateral,
        anchors=ANCHORS,
        at=scenario.at,
        allow_debug=scenario.allow_debug,
    )

    assert verdict.code.value == scenario.code, verdict.detail
    assert verdict.accepted == (scenario.code == "OK")
    if scenario.status is not None:
        assert verdict.status is TcbStatus(scenario.status)
    assert all(check.ok for check in verdict.checks[:-1])
    assert verdict.checks[-1].ok == verdict.accepted


def test_verdict_carries_the_report_and_the_platform() -> None:
    """A good verdict says who runs where, and under which kind of trust."""
    verdict = verify(QUOTE)

    assert verdict.trust_domain == "insecure-simulation"
    assert isinstance(verdict.report, Report)
    assert verdict.report.unique_id == smith.IDENTITY.unique_id
    assert verdict.report.signer_id == smith.IDENTITY.signer_id
    assert (verdict.report.product_id, verdict.report.security_version) == (7, 3)
    assert not verdict.report.debug
    assert verdict.report.report_data == smith.REPORT_DATA + bytes(32)
    assert verdict.report.isv_family_id == b"INSECURE-SOFTTEE"
    assert verdict.platform is not None
    assert verdict.platform.fmspc.hex() == "50ff00000000"
    assert verdict.platform.tcb_evaluation_number == 18


def test_checks_follow_the_numbered_order() -> None:
    """The ledger reads like attestation.md 2.1: chains, revocation, collateral, PCK, QE, quote, levels."""
    names = [check.name for check in verify(QUOTE).checks]
    landmarks = [
        "Evidence",
        "PCK certificate chain root key",
        "PCK certificate revocation",
        "TCB info signature",
        "QE identity signature",
        "FMSPC",
        "QE report signature",
        "QE report data",
        "QE MRSIGNER",
        "Quote signature",
        "TCB status",
        "Initialised",
        "Debug",
    ]

    assert [name for name in names if name in landmarks] == landmarks


def test_wrappings_are_equal() -> None:
    """A quote verifies raw, as an Open Enclave report, and as raw-quote evidence, with the same report."""
    wrapped = (QUOTE, smith.oe_report(QUOTE), evidence_v3(UUID_RAW_QUOTE, QUOTE))

    verdicts = [verify(evidence) for evidence in wrapped]

    assert {verdict.code for verdict in verdicts} == {Code.OK}
    assert len({verdict.report for verdict in verdicts}) == 1


def test_custom_claims_are_bound_by_the_report_data() -> None:
    """SGX ECDSA evidence verifies with the claims that the report data is the hash of, and with no others."""
    claims = b"custom claims"
    quote = smith.raw_quote(report_data=hashlib.sha256(claims).digest())

    assert verify(evidence_v3(UUID_SGX_ECDSA, quote + claims)).code is Code.OK
    assert verify(evidence_v3(UUID_SGX_ECDSA, quote + b"other")).code is Code.EVIDENCE_CLAIMS


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (b"", Code.QUOTE_TRUNCATED),
        (b"\1", Code.QUOTE_TRUNCATED),
        (b"\1\0\0\0", Code.QUOTE_TRUNCATED),
        (bytes(32 * 1024 + 1), Code.EVIDENCE_TOO_LARGE),
        (smith.oe_report(QUOTE)[:-1], Code.EVIDENCE_HEADER),
        (smith.oe_report(QUOTE) + b"\0", Code.EVIDENCE_HEADER),
        (smith.patched(smith.oe_report(QUOTE), 4, b"\1"), Code.EVIDENCE_HEADER),
        (evidence_v3(UUID_RAW_QUOTE, QUOTE) + b"\0", Code.EVIDENCE_HEADER),
        (evidence_v3(bytes.fromhex("c8303454d9234c2ca691df7def460a76"), QUOTE), Code.EVIDENCE_HEADER),
        (evidence_v3(bytes(16), QUOTE), Code.QUOTE_KEY_TYPE),
    ],
)
def test_bad_wrappings(evidence: bytes, code: Code) -> None:
    """A header that lies about its length or names another format is refused as such."""
    assert verify(evidence).code is code


def test_tdx_has_versions_of_its_own() -> None:
    """An SGX layout under a TDX header is no quote of either."""
    tdx = smith.patched(smith.patched(QUOTE, 0, b"\4"), 4, b"\x81")

    assert verify(tdx).code is Code.QUOTE_TRUNCATED
    assert verify(smith.patched(QUOTE, 4, b"\x81")).code is Code.QUOTE_VERSION_TEE_MISMATCH


def test_validity_is_inclusive_and_no_longer() -> None:
    """Collateral holds at both ends of its validity and not one second beyond."""
    begin, end = smith.AT - timedelta(hours=1), smith.AT + timedelta(days=30)
    second = timedelta(seconds=1)

    assert [verify(QUOTE, at=at).code for at in (begin, end)] == [Code.OK, Code.OK]
    assert verify(QUOTE, at=begin - second).code is Code.CRL_NOT_YET_VALID
    assert verify(QUOTE, at=end + second).code is Code.CRL_EXPIRED


def test_a_time_without_a_zone_is_a_mistake() -> None:
    """A verifier that guessed a zone could be hours off."""
    with pytest.raises(ValueError, match="time zone"):
        verify(QUOTE, at=smith.AT.replace(tzinfo=None))


def test_intel_is_not_fooled_by_simulation() -> None:
    """Under Intel's anchor a simulated quote is nothing, and the verdict says which domain refused it."""
    verdict = verify_quote(QUOTE, GOOD, anchors=Anchors.intel(), at=smith.AT)

    assert verdict.code is Code.CHAIN_UNTRUSTED_ROOT
    assert verdict.trust_domain == "intel"


def test_only_a_root_that_calls_itself_insecure_is_a_simulation_anchor() -> None:
    """Neither junk nor another certificate enters by the simulation's door."""
    intermediate = smith.PKI.pck_ca.certificate

    assert Anchors.simulation(smith.ANCHOR).trust_domain == "insecure-simulation"
    assert intermediate.subject != smith.PKI.root.certificate.subject
    with pytest.raises(AnchorError, match=r"X\.509"):
        Anchors.simulation(b"junk")


def test_no_anchor_trusts_nothing() -> None:
    """An empty set of anchors is not a wildcard."""
    nothing = Anchors(spki_sha256=frozenset(), trust_domain="intel")

    assert verify_quote(QUOTE, GOOD, anchors=nothing, at=smith.AT).code is Code.CHAIN_UNTRUSTED_ROOT


def test_collateral_of_another_trusted_root_is_refused() -> None:
    """With two roots trusted, one machine's revocation list must not clear the other's signers."""
    other = build_pki(bytes(range(32)), smith.AT)
    both = Anchors(
        spki_sha256=ANCHORS.spki_sha256
        | Anchors.simulation(other.root.certificate.public_bytes(Encoding.DER)).spki_sha256,
        trust_domain="insecure-simulation",
    )
    theirs = build_collateral(other, at=smith.AT, tcb_status="UpToDate", advisories=(), revoke_pck=False)
    tcb = dataclasses.replace(
        GOOD,
        tcb_info=theirs.tcb_info,
        tcb_info_signature=theirs.tcb_info_signature,
        tcb_info_issuer_chain=theirs.tcb_info_issuer_chain,
    )
    qe = dataclasses.replace(
        GOOD,
        qe_identity=theirs.qe_identity,
        qe_identity_signature=theirs.qe_identity_signature,
        qe_identity_issuer_chain=theirs.qe_identity_issuer_chain,
    )

    for collateral, code in ((GOOD, Code.OK), (tcb, REFUSED), (qe, REFUSED)):
        assert verify_quote(QUOTE, collateral, anchors=both, at=smith.AT).code is code


def test_a_memory_shared_between_anchors_does_not_carry_trust_over() -> None:
    """What one set of anchors trusted is not remembered for another."""
    memo = QuoteVerifier(ANCHORS)._memo
    for anchors, code in ((ANCHORS, Code.OK), (Anchors.intel(), REFUSED)):
        found = verify_with_memo(QUOTE, GOOD, anchors=anchors, at=smith.AT, allow_debug=False, memo=memo)
        assert found.code is code


@given(bit=st.integers(0, 432 * 8 - 1))
@settings(max_examples=50, deadline=None)
def test_any_bit_of_the_signed_part_counts(bit: int) -> None:
    """Flipping one bit of what the attestation key signs is never accepted."""
    byte, mask = bit // 8, 1 << bit % 8
    flipped = smith.patched(QUOTE, byte, bytes([QUOTE[byte] ^ mask]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT).accepted


@given(bit=st.integers(436 * 8, 1046 * 8 - 1))
@settings(max_examples=40, deadline=None)
def test_any_bit_of_the_signature_data_counts(bit: int) -> None:
    """Nor is flipping one in the signatures, the keys or the quoting enclave's report."""
    byte, mask = bit // 8, 1 << bit % 8
    flipped = smith.patched(QUOTE, byte, bytes([QUOTE[byte] ^ mask]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT).accepted


@given(
    member=st.sampled_from(["root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"]),
    junk=st.binary(max_size=80),
)
@settings(max_examples=20, deadline=None)
def test_junk_collateral_gets_a_verdict(member: str, junk: bytes) -> None:
    """Whatever the collateral's bytes are, the answer is a verdict and never an exception."""
    change: dict[str, Any] = {member: junk}

    assert not verify(QUOTE, collateral=dataclasses.replace(GOOD, **change)).accepted


@given(text=st.text(st.characters(exclude_categories=()), max_size=100))
@settings(max_examples=15, deadline=None)
def test_signed_junk_gets_a_verdict(text: str) -> None:
    """Even a signed document that is not one gets a verdict."""
    signature = sign(smith.PKI.tcb_signing.key, text.encode(errors="surrogatepass"))
    signed = dataclasses.replace(GOOD, tcb_info=text, tcb_info_signature=signature)

    assert verify(QUOTE, collateral=signed).code is Code.TCB_INFO_FORMAT


CHAIN = [
    authority.certificate.public_bytes(Encoding.DER) for authority in (smith.PKI.tcb_signing, smith.PKI.root)
]


def signed_part(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).tbs_certificate_bytes


@given(which=st.integers(0, 1), offset=st.integers(0, 600), patch=st.binary(max_size=3))
@settings(max_examples=40, deadline=None)
def test_mutated_certificates_get_a_verdict(which: int, offset: int, patch: bytes) -> None:
    """A certificate damaged in its signed part is refused with a code, not with an exception."""
    damaged = list(CHAIN)
    place = min(offset, len(damaged[which]) - 1)
    damaged[which] = damaged[which][:place] + patch + damaged[which][place + 1 :]
    pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in damaged)
    verdict = verify(QUOTE, collateral=dataclasses.replace(GOOD, tcb_info_issuer_chain=pem))

    # Around the signed part DER leaves some room, the signature's unused bits, that changes nothing.
    assert not verdict.accepted or [signed_part(der) for der in damaged] == [
        signed_part(der) for der in CHAIN
    ]
    assert verdict.checks[-1].ok == verdict.accepted
