"""Appraisal follows MarbleRun's rules field by field and says in words what differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import (
    Appraisal,
    ReferenceValues,
    TdReferenceValues,
    appraise,
    appraise_td,
)
from marbleops.attestation.binding import coordinator_report_data, marble_report_data
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.policy import VerificationPolicy
from marbleops.attestation.verdict import Code, Report, TcbStatus, TdReport, Verdict

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


TD = TdReferenceValues(mr_td=tdsmith.IDENTITY.mr_td, rtmrs=(*tdsmith.IDENTITY.rtmrs[:2], None, None))
TD_POLICY = VerificationPolicy(allow_debug=True, td_sept_ve_disable_required=False)


def judge_td(quote: bytes, report_data: bytes = smith.REPORT_DATA, **changes: Any) -> Appraisal:
    verdict = verify_quote(
        quote,
        tdsmith.collateral(),
        anchors=Anchors.simulation(smith.ANCHOR),
        at=smith.AT,
        policy=TD_POLICY,
    )
    return appraise_td(verdict, dataclasses.replace(TD, **changes), report_data=report_data)


def test_a_wanted_domain() -> None:
    """An accepted domain leaves nothing to say; every comparison is listed, also what is never left out."""
    appraisal = judge_td(tdsmith.quote())

    assert (appraisal.accepted, appraisal.reason) == (True, "")
    assert [check.name for check in appraisal.checks] == [
        "Evidence",
        "TCB status",
        "Advisories",
        "Report data",
        "Report data tail",
        "Package",
        "Debug",
        "MRTD",
        "RTMR0",
        "RTMR1",
        "Migratable",
        "Service TD",
    ]


OTHER = b"\x01" * 48
BITS = (1 << 28).to_bytes(8, "little")
MIGRATABLE = tdsmith.SEPT_VE_DISABLE | tdsmith.MIGRATABLE


@pytest.mark.parametrize(
    ("quote", "changes", "failing"),
    [
        (tdsmith.quote(), {"mr_td": OTHER}, ["MRTD"]),
        (tdsmith.quote(), {"rtmrs": (None, None, OTHER, None)}, ["RTMR2"]),
        (tdsmith.quote(), {"mr_td": None}, ["Package"]),
        (tdsmith.quote(), {"rtmrs": (None,) * 4}, ["Package"]),
        (tdsmith.quote(), {"mr_config_id": OTHER}, ["MRCONFIGID"]),
        (tdsmith.quote(), {"mr_owner": OTHER, "mr_owner_config": OTHER}, ["MROWNER", "MROWNERCONFIG"]),
        (tdsmith.quote(), {"mr_seam": (OTHER,)}, ["MRSEAM"]),
        (tdsmith.quote(), {"td_attributes": bytes(8)}, ["TD attributes"]),
        (tdsmith.quote(attributes=0), {"td_attributes": BITS}, ["TD attributes"]),
        (tdsmith.quote(), {"td_attributes": bytes(8), "td_attributes_mask": b"\xff" + bytes(7)}, []),
        (tdsmith.quote(), {"xfam": b"\xe7" + bytes(7)}, ["XFAM"]),
        (tdsmith.quote(), {"xfam": b"\xe7" + bytes(7), "xfam_mask": b"\xff" + bytes(7)}, []),
        (tdsmith.quote(debug=True), {}, ["Debug"]),
        (tdsmith.quote(), {"debug": True}, ["Debug"]),
        (tdsmith.quote(debug=True), {"debug": True, "mr_td": None}, []),
        (tdsmith.quote(attributes=MIGRATABLE), {}, ["Migratable"]),
        (tdsmith.quote(attributes=MIGRATABLE), {"migratable": True}, []),
        (tdsmith.td15(), {}, []),
        (tdsmith.td15(mr_service_td=OTHER), {}, ["Service TD"]),
        (tdsmith.td15(mr_service_td=OTHER), {"mr_service_td": OTHER}, []),
        (tdsmith.td15(), {"mr_service_td": OTHER}, ["Service TD"]),
        (tdsmith.td15(launched=(4, 1, 3)), {}, ["TCB status"]),
        (tdsmith.td15(launched=(4, 1, 3)), {"accepted_tcb_statuses": ("TDRelaunchAdvised",)}, []),
        (tdsmith.quote(report_data=b"other"), {}, ["Report data"]),
    ],
)
def test_domain_fields(quote: bytes, changes: dict[str, Any], failing: list[str]) -> None:
    """Exactly the fields that differ fail, and the reason names them."""
    appraisal = judge_td(quote, **changes)

    assert [check.name for check in appraisal.checks if not check.ok] == failing, appraisal.reason
    assert all(name in appraisal.reason for name in failing)


def test_domains_may_use_all_of_their_report_data() -> None:
    """A hash of 64 bytes is compared whole (1.3, the last row)."""
    whole = bytes(range(64))

    assert judge_td(tdsmith.quote(report_data=whole), whole).accepted
    assert not judge_td(tdsmith.quote(report_data=whole), whole[::-1]).accepted
    with pytest.raises(ValueError, match="32 bytes"):
        judge_td(tdsmith.quote(), b"short")


def test_an_enclave_is_no_domain_and_the_reverse() -> None:
    """Reference values of one kind never admit the other."""
    td = verify_quote(
        tdsmith.quote(), tdsmith.collateral(), anchors=Anchors.simulation(smith.ANCHOR), at=smith.AT
    )

    assert isinstance(td.report, TdReport)
    assert "TEE: package asks for sgx" in appraise(td, REFERENCE, report_data=smith.REPORT_DATA).reason
    assert "TEE: package asks for tdx" in appraise_td(VERDICT, TD, report_data=smith.REPORT_DATA).reason
    for change in ({"mr_td": b"short"}, {"xfam_mask": b""}, {"mr_service_td": b""}):
        with pytest.raises(ValueError, match="bytes"):
            TdReferenceValues(**change)  # type: ignore[arg-type]
