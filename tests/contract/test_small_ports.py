"""What a Clock, Entropy, QuoteIssuer and QuoteVerifier are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import pytest

from coordinator.adapters.dcap import DcapVerifier
from coordinator.adapters.simulation import open_platform
from coordinator.adapters.system import LATEST, SystemClock, SystemEntropy, bounded
from coordinator.domain import pki
from coordinator.errors import PlatformError
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.verdict import INSECURE_SIMULATION, Code, Report

if TYPE_CHECKING:
    from datetime import tzinfo
    from pathlib import Path


def test_clock_is_utc_and_goes_on() -> None:
    """Times carry their zone."""
    first, second = SystemClock().now(), SystemClock().now()
    assert first.tzinfo is UTC
    assert timedelta(0) <= second - first < timedelta(minutes=1)


@pytest.mark.parametrize("year", [1, 1949, 1970, 2500, 9999])
def test_an_absurd_clock_stops_nothing(year: int, tmp_path: Path) -> None:
    """Whatever year the host says it is, certificates can be made and a machine can be opened."""
    at = bounded(datetime(year, 1, 1, tzinfo=UTC))
    root = pki.create_root(names=("localhost",), at=at, random=SystemEntropy().bytes)
    assert pki.renew(root, names=("localhost",), at=at, random=SystemEntropy().bytes).root == root
    SimulationPlatform.create(tmp_path / "machine", at=at)
    machine = open_platform(tmp_path / "machine", at=at)
    assert open_platform(tmp_path / "machine", at=bounded(datetime(2026, 1, 1, tzinfo=UTC))) is not machine


def test_a_clock_beyond_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host clock in the year 10000 is the latest time, not an exception."""

    class Broken(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            raise ValueError(tz)

    monkeypatch.setattr("coordinator.adapters.system.datetime", Broken)
    assert SystemClock().now() == LATEST


@pytest.mark.parametrize("count", [0, 1, 32, 1000])
def test_entropy_gives_what_is_asked(count: int) -> None:
    """As many bytes as asked, never the same twice."""
    first, second = SystemEntropy().bytes(count), SystemEntropy().bytes(count)
    assert len(first) == len(second) == count
    assert count < 32 or first != second


def test_issuer_and_verifier_agree(tmp_path: Path) -> None:
    """A quote of the simulated machine verifies under its own anchor only, loudly marked."""
    at = SystemClock().now()
    SimulationPlatform.create(tmp_path / "machine", at=at)
    platform = open_platform(tmp_path / "machine", at=at)
    verifier = DcapVerifier(platform.verifier(), platform.collateral)
    verdict = verifier.verify(platform.issuer().quote(b"d" * 32), at)
    assert (verdict.code, verdict.trust_domain) == (Code.OK, INSECURE_SIMULATION)
    assert isinstance(verdict.report, Report)
    assert verdict.report.report_data == b"d" * 32 + bytes(32)
    assert (verdict.report.product_id, verdict.report.security_version) == (3, 3)
    for junk in (b"", b"junk", bytes(5000)):
        assert verifier.verify(junk, at).code is not Code.OK
    SimulationPlatform.create(tmp_path / "other", at=at)
    stranger = open_platform(tmp_path / "other", at=at)
    foreign = stranger.issuer().quote(b"d" * 32)
    assert verifier.verify(foreign, at).code is not Code.OK


def test_outdated_collateral_is_renewed(tmp_path: Path) -> None:
    """A simulated machine opened after years has current collateral again, under the same anchor."""
    at = SystemClock().now()
    anchor = SimulationPlatform.create(tmp_path / "machine", at=at).anchor_der
    later = at + timedelta(days=400)
    platform = open_platform(tmp_path / "machine", at=later)
    assert platform.platform.anchor_der == anchor
    verifier = DcapVerifier(platform.verifier(), platform.collateral)
    assert verifier.verify(platform.issuer().quote(b"d"), later).code is Code.OK


def test_sealing_keys_are_the_machines(tmp_path: Path) -> None:
    """Opened again, the machine gives the same keys; another machine gives others."""
    at = SystemClock().now()
    for name in ("machine", "other"):
        SimulationPlatform.create(tmp_path / name, at=at)
    first = open_platform(tmp_path / "machine", at=at).sealing_keys()
    again = open_platform(tmp_path / "machine", at=at).sealing_keys()
    other = open_platform(tmp_path / "other", at=at).sealing_keys()
    assert first == again
    assert first.product != other.product
    assert first.product != first.unique


def test_a_machine_is_never_made_by_opening_it(tmp_path: Path) -> None:
    """A typo in the directory is an error that says what to do, and leaves nothing behind."""
    with pytest.raises(PlatformError, match="simulation init"):
        open_platform(tmp_path / "nodir", at=SystemClock().now())
    assert not (tmp_path / "nodir").exists()
