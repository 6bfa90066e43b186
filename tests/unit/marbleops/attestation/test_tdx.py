"""Quotes of trust domains: every scenario, every field, and no bit that does not count."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.platform.base import TdIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.platform.softpki import sign
from marbleops.attestation.quote import parse_quote
from marbleops.attestation.verdict import Code, TcbStatus, TdReport, Tee

if TYPE_CHECKING:
    from pathlib import Path

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
@settings(max_examples=15, deadline=None)
def test_any_bit_of_the_signed_part_counts(which: int, bit: int) -> None:
    """Flipping one bit of what the attestation key signs is never accepted."""
    raw = QUOTES[which]
    flipped = smith.patched(raw, bit // 8, bytes([raw[bit // 8] ^ 1 << bit % 8]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT, policy=tdsmith.DEFAULT).accepted


@given(bit=st.integers(632 * 8, 1252 * 8 - 1))
@settings(max_examples=15, deadline=None)
def test_any_bit_of_the_signature_data_counts(bit: int) -> None:
    """Nor is flipping one in lengths, types, signatures, keys or the quoting enclave's report."""
    raw = QUOTES[0]
    flipped = smith.patched(raw, bit // 8, bytes([raw[bit // 8] ^ 1 << bit % 8]))

    assert not VERIFIER.verify(flipped, GOOD, at=smith.AT).accepted


@given(
    member=st.sampled_from(
        ["tcb_info", "qe_identity", "root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"]
    ),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 6),
)
@settings(max_examples=15, deadline=None)
def test_any_bit_of_the_collateral_counts(member: str, place: float, bit: int) -> None:
    """Nor is flipping one in what Intel signs about the platform, or in a signature."""
    good = getattr(GOOD, member)
    raw = bytearray(good.encode() if isinstance(good, str) else good)
    raw[int(place * len(raw))] ^= 1 << bit
    flipped: dict[str, Any] = {member: raw.decode() if isinstance(good, str) else bytes(raw)}

    assert not VERIFIER.verify(QUOTES[0], dataclasses.replace(GOOD, **flipped), at=smith.AT).accepted


@given(place=st.floats(0, 1, exclude_max=True), patch=st.text('0123456789abcTDX"[]{},:', max_size=6))
@settings(max_examples=15, deadline=None)
def test_documents_that_were_signed_wrongly(place: float, patch: str) -> None:
    """Whatever a signed document says, the answer is a verdict with a code."""
    text = GOOD.tcb_info
    at = int(place * len(text))
    made = text[:at] + patch + text[at + len(patch) :]
    signature = sign(smith.PKI.tcb_signing.key, made.encode())
    changed = dataclasses.replace(GOOD, tcb_info=made, tcb_info_signature=signature)

    verdict = VERIFIER.verify(QUOTES[0], changed, at=smith.AT)

    assert verdict.checks[-1].ok == verdict.accepted


def test_the_simulated_machine_hosts_domains(tmp_path: Path) -> None:
    """The one machine quotes for enclaves and for domains, each under collateral of its kind."""
    platform = SimulationPlatform.create(tmp_path / "p", at=smith.AT)
    verifier = QuoteVerifier(platform.anchors())
    issuer, version_5 = platform.td_issuer(tdsmith.IDENTITY), tdsmith.quote(version=5)
    collateral = platform.stage_collateral(at=smith.AT, tee=Tee.TDX, tcb_status="SWHardeningNeeded")

    verdict = verifier.verify(issuer.quote(b"d" * 64), collateral, at=smith.AT)

    assert (verdict.code, verdict.status) == (Code.OK, TcbStatus.SW_HARDENING_NEEDED)
    assert verdict.trust_domain == "insecure-simulation"
    assert verifier.verify(version_5, collateral, at=smith.AT).code is Code.CHAIN_UNTRUSTED_ROOT
    with pytest.raises(ValueError, match="64 bytes"):
        issuer.quote(bytes(65))


@pytest.mark.parametrize(
    "changes", [{"mr_td": b""}, {"tee_tcb_svn": b""}, {"tee_tcb_svn2": b"1"}, {"mr_service_td": b"s" * 48}]
)
def test_identities_fit_the_report(changes: dict[str, Any]) -> None:
    """A field of another size, or of a newer report, is refused before anything is signed."""
    good: dict[str, Any] = {"mr_td": bytes(48)}
    with pytest.raises(ValueError, match=r"bytes|domain"):
        TdIdentity(**(good | changes))
    with pytest.raises(ValueError, match="version 4 cannot"):
        tdsmith.quote(tee_tcb_svn2=bytes(16), version=4)
