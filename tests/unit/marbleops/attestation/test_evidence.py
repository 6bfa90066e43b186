"""One entry for all evidence, and the policy under which it verifies."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import ReferenceValues, appraise
from marbleops.attestation.cache import BoundedMemo
from marbleops.attestation.evidence import verify_evidence
from marbleops.attestation.policy import VerificationPolicy
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.report import REPORT_BYTES
from marbleops.attestation.verdict import Code, TcbStatus, Tee, Verdict

ANCHORS = Anchors.simulation(smith.ANCHOR)
DAY = timedelta(days=1)
SNP_LIKE = (2).to_bytes(4, "little").ljust(REPORT_BYTES, b"\0")


def verify(evidence: bytes, endorsements: Any, **arguments: Any) -> Verdict:
    given: dict[str, Any] = {"anchors": ANCHORS, "at": smith.AT, **arguments}
    return verify_evidence(evidence, endorsements, **given)


def test_what_it_is_is_seen_from_the_bytes() -> None:
    """Quotes go to one verifier and SNP reports to the other; endorsements must be of the same kind."""
    none = SnpEndorsements(certificates=())
    for quote, collateral, tee in (
        (smith.oe_report(smith.raw_quote()), smith.collateral(), Tee.SGX),
        (tdsmith.quote(), tdsmith.collateral(), Tee.TDX),
    ):
        verdict = verify(quote, collateral)
        assert verdict.code is Code.OK
        assert verdict.report is not None
        assert verdict.report.tee is tee
        assert verify(quote, none).code is Code.UNSUPPORTED_TEE
    mismatched = verify(SNP_LIKE, smith.collateral())
    assert (mismatched.code, mismatched.checks[-1].ok) == (Code.UNSUPPORTED_TEE, False)
    assert "AMD's certificates" in mismatched.detail
    assert verify(SNP_LIKE, none).code not in (Code.OK, Code.UNSUPPORTED_TEE)


def test_one_memory_serves_all_verifiers() -> None:
    """With a shared memory every answer stays what it was, also the second time and for the other TEE."""
    memo = BoundedMemo(64)
    for _ in range(2):
        for quote, collateral in (
            (smith.raw_quote(), smith.collateral()),
            (tdsmith.quote(), tdsmith.collateral()),
            (tdsmith.quote(), smith.collateral()),
        ):
            assert verify(quote, collateral, memo=memo) == verify(quote, collateral)
    assert len(memo) > 0


def test_collateral_grace() -> None:
    """Expired collateral serves a while longer where that is allowed; a certificate never does."""
    late, quote, good = smith.AT + 40 * DAY, smith.raw_quote(), smith.collateral()
    codes = [
        verify(quote, good, at=late, policy=VerificationPolicy(collateral_grace=grace * DAY)).code
        for grace in (0, 9, 10)
    ]
    revoked = smith.collateral(pck_crl=build_revoked())
    grace = VerificationPolicy(collateral_grace=10 * DAY)

    assert codes == [Code.CRL_EXPIRED, Code.CRL_EXPIRED, Code.OK]
    assert verify(quote, revoked, at=late, policy=grace).code is Code.CERT_REVOKED
    assert verify(quote, good, at=smith.AT + 8 * 365 * DAY, policy=grace).code is Code.CERT_EXPIRED
    assert verify(quote, good, at=smith.AT - DAY / 12, policy=grace).code is Code.CRL_NOT_YET_VALID


def build_revoked() -> bytes:
    revoked = next(one for one in smith.scenarios() if one.name == "pck-revoked")
    return revoked.collateral.pck_crl


def test_platform_grace() -> None:
    """An outdated platform says so, and counts as updated while its TCB date is recent enough."""
    outdated = smith.collateral(tcb=lambda document: document["tcbLevels"][0].update(tcbStatus="OutOfDate"))
    reference = ReferenceValues(unique_id=smith.IDENTITY.unique_id.hex())
    age = smith.AT - smith.AT.replace(year=2024, month=11, day=13, hour=0)
    undated = smith.collateral(
        tcb=lambda document: document["tcbLevels"][0].update(tcbStatus="OutOfDate", tcbDate="yesterday")
    )

    for grace, within in ((0 * DAY, False), (age - DAY, False), (age, True)):
        verdict = verify(smith.raw_quote(), outdated, policy=VerificationPolicy(platform_grace=grace))
        appraisal = appraise(verdict, reference, report_data=smith.REPORT_DATA)
        assert (verdict.code, verdict.status) == (Code.OK, TcbStatus.OUT_OF_DATE)
        assert (verdict.within_grace, appraisal.accepted) == (within, within)
    policy = VerificationPolicy(platform_grace=1000 * DAY)
    assert not verify(smith.raw_quote(), undated, policy=policy).within_grace
    assert not verify(smith.raw_quote(), smith.collateral(), policy=policy).within_grace


@pytest.mark.parametrize(("minimum", "code"), [(18, Code.OK), (19, Code.COLLATERAL_ROLLBACK)])
def test_evaluation_numbers_have_a_floor(minimum: int, code: Code) -> None:
    """Collateral of an older evaluation than the floor is a rollback, for each document alone."""
    policy = VerificationPolicy(min_tcb_evaluation_data_number=minimum)
    newer: dict[str, Any] = {"tcbEvaluationDataNumber": 19}

    assert verify(smith.raw_quote(), smith.collateral(), policy=policy).code is code
    for member in ("tcb", "qe"):
        change: dict[str, Any] = {member: lambda document: document.update(newer)}
        half = smith.collateral(**change)
        assert verify(smith.raw_quote(), half, policy=policy).code is code


@pytest.mark.parametrize(
    "changes",
    [
        {"collateral_grace": -DAY},
        {"platform_grace": 2000 * DAY},
        {"collateral_grace": DAY, "platform_grace": DAY},
        {"min_tcb_evaluation_data_number": -1},
    ],
)
def test_policies_that_make_no_sense(changes: dict[str, Any]) -> None:
    """A negative or endless grace, both graces at once, a negative floor: mistakes of the caller."""
    with pytest.raises(ValueError, match=r"grace|number"):
        dataclasses.replace(VerificationPolicy(), **changes)


def test_claims_take_the_place_of_report_data() -> None:
    """Evidence with custom claims vouches for these; without any it vouches for nothing."""
    uuid = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
    reference = ReferenceValues(unique_id=smith.IDENTITY.unique_id.hex())
    outcomes = {}
    for claims in (b"", smith.REPORT_DATA, b"conformance certificate", b"other"):
        content = smith.raw_quote(report_data=hashlib.sha256(claims).digest()) + claims
        evidence = (3).to_bytes(4, "little") + uuid + len(content).to_bytes(8, "little") + content
        verdict = verify(evidence, smith.collateral())
        assert (verdict.code, verdict.custom_claims) == (Code.OK, claims)
        outcomes[claims] = appraise(verdict, reference, report_data=smith.REPORT_DATA)

    assert outcomes[smith.REPORT_DATA].accepted
    assert outcomes[b"conformance certificate"].accepted  # what the expected report data is the hash of
    assert "vouches for nothing" in outcomes[b""].reason
    assert "vouches for 6f74686572" in outcomes[b"other"].reason
