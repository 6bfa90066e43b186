"""Azure's reports: refused by default, and never taken for more than the hardware part that they are."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.appraisal import SnpReferenceValues, appraise_snp
from marbleops.attestation.snp.hcl import report_inside
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.verify import verify_snp
from marbleops.attestation.verdict import Code, Verdict

AT = datetime(2026, 6, 1, tzinfo=UTC)
MACHINE = SoftSnp(seed=b"azure".ljust(32, b"."))
ENDORSEMENTS, ANCHORS = MACHINE.endorsements(at=AT), MACHINE.anchors()
CLAIMS = b'{"keys":[{"kid":"HCLAkPub"}]}'
REPORT = MACHINE.report(SnpGuest(measurement=b"\1" * 48), hashlib.sha256(CLAIMS).digest())


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def wrapped(
    *, report: bytes = REPORT, claims: bytes = CLAIMS, version: int = 2, tee: int = 2, short: int = 0
) -> bytes:
    end = 1236 + len(claims)
    header = b"HCLA" + words(version, end, 2, 0, 0, 0, 0)
    return header + report + words(20 + len(claims), 1, tee, 1, len(claims) - short) + claims


def verify(evidence: bytes, *, accept: bool = True) -> Verdict:
    policy = SnpPolicy(accept_hcl=accept)
    return verify_snp(evidence, ENDORSEMENTS, anchors=ANCHORS, at=AT, policy=policy)


def test_it_is_refused_unless_wanted() -> None:
    """The default says what is missing."""
    verdict = verify(wrapped(), accept=False)

    assert verdict.code is Code.HCL_NEEDS_TPM_QUOTE
    assert "needs a TPM quote" in verdict.detail
    assert report_inside(wrapped()) == report_inside(REPORT)


@pytest.mark.parametrize("version", [1, 2])
def test_the_hardware_part_verifies(version: int) -> None:
    """With the claims that it vouches for, and the words that it vouches for no more."""
    verdict = verify(wrapped(version=version) + bytes(100))

    assert verdict.code is Code.OK
    assert verdict.custom_claims == CLAIMS
    assert verdict.not_checked[0].startswith("what was booted")
    reference = SnpReferenceValues(measurement=b"\1" * 48)
    assert not appraise_snp(verdict, reference, report_data=hashlib.sha256(b"channel key").digest()).accepted


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (wrapped()[:1235], Code.QUOTE_TRUNCATED),
        (wrapped()[:-1], Code.EVIDENCE_HEADER),
        (wrapped(short=1), Code.EVIDENCE_HEADER),
        (wrapped(version=3), Code.EVIDENCE_HEADER),
        (wrapped(tee=4), Code.HCL_NEEDS_TPM_QUOTE),
        (wrapped().replace(words(20 + len(CLAIMS), 1), words(20 + len(CLAIMS), 2)), Code.EVIDENCE_HEADER),
        (wrapped() + b"\1", Code.QUOTE_TRAILING_DATA),
        (wrapped() + bytes(40_000), Code.EVIDENCE_TOO_LARGE),
        (wrapped(claims=CLAIMS.replace(b"Ak", b"Bk")), Code.EVIDENCE_CLAIMS),
        (wrapped(report=REPORT[:100] + b"\1" + REPORT[101:]), Code.EVIDENCE_CLAIMS),
        (wrapped(report=REPORT[:150] + b"\0" + REPORT[151:]), Code.QUOTE_SIGNATURE),
    ],
)
def test_anything_else_is_refused(evidence: bytes, code: Code) -> None:
    """Sizes, versions, other claims, another report."""
    assert verify(evidence).code is code
