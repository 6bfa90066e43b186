"""Appraisal follows MarbleRun's rules field by field and says in words what differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import Appraisal, ReferenceValues, appraise
from marbleops.attestation.binding import coordinator_report_data, marble_report_data
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.verdict import Code, Report, TcbStatus, Verdict

VERDICT = verify_quote(
    smith.raw_quote(), smith.collateral(), anchors=Anchors.simulation(smith.ANCHOR), at=smith.AT
)
REFERENCE = ReferenceValues(signer_id=smith.IDENTITY.signer_id.hex(), product_id=7, security_version=3)


def judge(verdict: Verdict = VERDICT, **changes: Any) -> Appraisal:
    reference = dataclasses.replace(REFERENCE, **changes)
    return appraise(verdict, reference, report_data=smith.REPORT_DATA)


def at(status: TcbStatus | None, *advisories: str) -> Verdict:
    return dataclasses.replace(VERDICT, status=status, advisories=advisories)


def running(**changes: Any) -> Verdict:
    assert isinstance(VERDICT.report, Report)
    report: Report = dataclasses.replace(VERDICT.report, **changes)
    return dataclasses.replace(VERDICT, report=report)


def test_accepted_without_words() -> None:
    """An accepted enclave leaves nothing to say, and every comparison is listed."""
    appraisal = judge()

    assert appraisal.accepted
    assert appraisal.reason == ""
    assert [check.name for check in appraisal.checks] == [
        "Evidence",
        "TCB status",
        "Advisories",
        "Report data",
        "Report data tail",
        "Package",
        "Debug",
        "SignerID",
        "ProductID",
        "SecurityVersion",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"security_version": 4},
            "SecurityVersion: package asks for at least 4, the enclave has 3",
        ),
        ({"product_id": 0}, "ProductID: package asks for 0, the enclave has 7"),
        ({"debug": True}, "Debug: package asks for true, the enclave has false"),
        (
            {"unique_id": "AB" * 32},
            f"UniqueID: package asks for {'ab' * 32}, the enclave has {smith.IDENTITY.unique_id.hex()}",
        ),
        (
            {"security_version": None},
            (
                "Package: must pin UniqueID, or SignerID with ProductID and SecurityVersion,"
                " it has no UniqueID and no SecurityVersion"
            ),
        ),
    ],
)
def test_reasons(changes: dict[str, Any], reason: str) -> None:
    """Each difference is told with what was asked for and what is there."""
    appraisal = judge(**changes)

    assert not appraisal.accepted
    assert appraisal.reason == reason


def test_all_differences_are_told_at_once() -> None:
    """Nobody repairs a manifest one error at a time."""
    appraisal = judge(at(TcbStatus.OUT_OF_DATE, "INTEL-SA-01036"), product_id=8, security_version=9)

    assert appraisal.reason == (
        "TCB status: package accepts UpToDate or SWHardeningNeeded, the platform is OutOfDate"
        " (INTEL-SA-01036)"
        "; ProductID: package asks for 8, the enclave has 7"
        "; SecurityVersion: package asks for at least 9, the enclave has 3"
    )


@pytest.mark.parametrize("status", [TcbStatus.REVOKED, None])
def test_never_acceptable(status: TcbStatus | None) -> None:
    """Neither Revoked nor an unknown status can be listed."""
    assert not judge(at(status), accepted_tcb_statuses=("Revoked", "Unknown", "None", "unknown")).accepted


@pytest.mark.parametrize("status", [status for status in TcbStatus if status is not TcbStatus.REVOKED])
def test_listing_a_status_accepts_it(status: TcbStatus) -> None:
    """Every other status is accepted where it is listed, and UpToDate always."""
    assert judge(at(status), accepted_tcb_statuses=(status.value,)).accepted
    assert judge(accepted_tcb_statuses=(status.value,)).accepted


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([status.value for status in TcbStatus]), max_size=4), st.sampled_from(TcbStatus)
)
def test_statuses(listed: list[str], status: TcbStatus) -> None:
    """The rule of marblerun-core 10.4 in one line, Revoked aside."""
    wanted = status is TcbStatus.UP_TO_DATE or status.value in (listed or ["SWHardeningNeeded"])

    accepted = judge(at(status), accepted_tcb_statuses=tuple(listed)).accepted

    assert accepted == (wanted and status is not TcbStatus.REVOKED)


def test_advisories() -> None:
    """A list binds only under SWHardeningNeeded; there, one unlisted advisory is too many."""
    listed = ("INTEL-SA-00615",)
    hardening = TcbStatus.SW_HARDENING_NEEDED

    assert judge(at(hardening, "intel-sa-00615"), accepted_advisories=listed).accepted
    assert judge(at(hardening, "INTEL-SA-1", "INTEL-SA-2")).accepted
    assert judge(at(TcbStatus.UP_TO_DATE, "INTEL-SA-1"), accepted_advisories=listed).accepted
    refused = judge(at(hardening, "INTEL-SA-00615", "INTEL-SA-1"), accepted_advisories=listed)
    assert refused.reason == "Advisories: package accepts INTEL-SA-00615, the platform also has INTEL-SA-1"


def test_bad_evidence_is_never_accepted() -> None:
    """A report from evidence that does not verify counts for nothing, however well it matches."""
    assert not judge(dataclasses.replace(VERDICT, code=Code.QUOTE_SIGNATURE)).accepted
    assert not judge(dataclasses.replace(VERDICT, code=Code.QUOTE_TRUNCATED, report=None)).accepted


def test_debug_is_equality() -> None:
    """A debug package takes debug enclaves only, whatever else it leaves open."""
    assert appraise(running(debug=True), ReferenceValues(debug=True), report_data=smith.REPORT_DATA).accepted
    assert not judge(running(debug=True)).accepted
    assert not appraise(VERDICT, ReferenceValues(debug=True), report_data=smith.REPORT_DATA).accepted


def test_empty_identities_are_not_pinned() -> None:
    """As in MarbleRun, an empty string is no identity; it does not match an enclave, it asks for none."""
    assert judge(unique_id="").accepted
    assert not judge(signer_id="").accepted


@settings(max_examples=30)
@given(st.binary(min_size=64, max_size=64))
def test_report_data(report_data: bytes) -> None:
    """Anything but the expected hash and 32 zeros is refused."""
    wanted = smith.REPORT_DATA + bytes(32)

    assert judge(running(report_data=report_data)).accepted == (report_data == wanted)


def test_expected_report_data_is_a_hash() -> None:
    """A caller that passes something else has a bug; an empty prefix would match anything."""
    with pytest.raises(ValueError, match="32 bytes"):
        appraise(VERDICT, REFERENCE, report_data=b"")


def test_bindings() -> None:
    """A Coordinator and a marble bind SHA-256 of their certificate, followed by the nonce if there is one."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert marble_report_data(b"").hex() == empty
    assert coordinator_report_data(b"root", b"nonce") == marble_report_data(b"rootnonce")
    assert coordinator_report_data(b"root") == marble_report_data(b"root")
