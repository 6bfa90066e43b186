"""Quotes of trust domains: every scenario, every field, and no bit that does not count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.quote import parse_quote
from marbleops.attestation.verdict import Code, TcbStatus, TdReport, Tee

VERIFIER = QuoteVerifier(Anchors.simulation(smith.ANCHOR))
GOOD = tdsmith.collateral()
QUOTES = (tdsmith.quote(), tdsmith.td15())


@pytest.mark.parametrize("scenario", tdsmith.scenarios(), ids=lambda scenario: scenario.name)
def test_scenario(scenario: tdsmith.TdScenario) -> None:
    """Each scenario gets its stable code, its status, and a ledger whose last entry is the failure."""
    verdict = VERIFIER.verify(scenario.quote, scenario.collateral, at=smith.AT, policy=scenario.policy)

    assert verdict.code.value == scenario.code, verdict.detail
    if scenario.status is not None:
        assert verdict.status is TcbStatus(scenario.status)
    assert all(check.ok for check in verdict.checks[:-1])
    assert verdict.checks[-1].ok == verdict.accepted == (scenario.code == "OK")


def test_fields_lie_where_the_table_says() -> None:
    """Offsets of attestation.md 1.2, with a different value in each field of a TD 1.5."""
    identity = tdsmith.IDENTITY
    raw = tdsmith.td15(mr_config_id=b"c" * 48, mr_owner=b"o" * 48, mr_service_td=b"s" * 48, now=(7, 1, 3))

    quote = parse_quote(raw)
    report = quote.report

    assert isinstance(report, TdReport)
    assert (quote.version, report.tee, len(quote.signed)) == (5, Tee.TDX, 48 + 6 + 648)
    assert (report.tee_tcb_svn, report.tee_tcb_svn2) == (tdsmith.svn(6, 1, 3), tdsmith.svn(7, 1, 3))
    assert (report.mr_td, report.rtmrs) == (identity.mr_td, identity.rtmrs)
    assert (report.mr_config_id, report.mr_owner, report.mr_service_td) == (b"c" * 48, b"o" * 48, b"s" * 48)
    assert report.mr_owner_config.startswith(b"INSECURE-SOFTTEE")
    assert report.td_attributes == (1 << 28).to_bytes(8, "little")
    assert report.xfam == identity.xfam.to_bytes(8, "little")
    assert report.report_data == smith.REPORT_DATA + bytes(32)


def test_the_platform_is_described_even_where_it_reaches_no_level() -> None:
    """What it has is there to be explained; a TCB date only where a level was matched."""
    low = VERIFIER.verify(tdsmith.quote(tee_tcb_svn=tdsmith.svn(4, 0, 3)), GOOD, at=smith.AT)
    good = VERIFIER.verify(QUOTES[0], GOOD, at=smith.AT)

    assert low.code is Code.TCB_NOT_SUPPORTED
    assert "tdx[0] 4<5" in low.detail
    assert low.platform is not None
    assert (low.platform.tcb_date, low.platform.tdx_components[:3]) == (None, (4, 0, 3))
    assert good.platform is not None
    assert good.platform.tcb_date == "2024-11-13T00:00:00Z"
    assert (good.platform.smt, good.platform.dynamic, good.platform.cached_keys) == (True, False, False)
    assert good.platform.qe_security_version == 8


@given(which=st.integers(0, 1), bit=st.integers(0, 632 * 8 - 1))
@settings(max_examples=40, deadline=None)
def test_any_bit_of_the_signed_part_counts(which: int, bit: int) -> None:
    """Flipping one bit of what the attestation key signs is never accepted."""
    raw = QUOTES[which]
    flipped = smith.patched(raw, bit // 8, bytes([raw[bit // 8] ^ 1 << bit % 8]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT, policy=tdsmith.DEFAULT).accepted


@given(bit=st.integers(632 * 8, 1252 * 8 - 1))
@settings(max_examples=40, deadline=None)
def test_any_bit_of_the_signature_data_counts(bit: int) -> None:
    """Nor is flipping one in lengths, types, signatures, keys or the quoting enclave's report."""
    raw = QUOTES[0]
    flipped = smith.patched(raw, bit // 8, bytes([raw[bit // 8] ^ 1 << bit % 8]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT).accepted
