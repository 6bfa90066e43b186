"""What a Platform is, whichever it is: quotes its verifier believes, keys that stay and differ."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from coordinator.adapters.gramine import open_gramine
from coordinator.adapters.sealer import AesGcmSealer
from coordinator.adapters.simulation import open_platform
from coordinator.adapters.system import SystemEntropy
from coordinator.domain.wrap import likely_cause
from coordinator.errors import ForeignSealError
from coordinator.ports import SealPolicy
from coordinator.settings import PlatformName
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.verdict import Code, Report
from tests.fakes.attestation_directory import FakeProcessor

if TYPE_CHECKING:
    from pathlib import Path

    from coordinator.adapters.platform import Platform

NOW = datetime(2026, 11, 24, tzinfo=UTC)
Opener = Callable[["Path"], "Platform"]


def _simulation(directory: Path) -> Platform:
    return open_platform(directory, at=NOW)


def _gramine(directory: Path) -> Platform:
    machine = SimulationPlatform.open(directory)
    return open_gramine(
        FakeProcessor(machine).hardware(directory / "attestation"), directory / "collateral.json", at=NOW
    )


@pytest.fixture(params=[_simulation, _gramine], ids=list(PlatformName))
def opener(request: pytest.FixtureRequest) -> Opener:
    chosen: Opener = request.param
    return chosen


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return SimulationPlatform.create(tmp_path / "machine", at=NOW).directory


def test_its_quotes_pass_its_own_verifier(opener: Opener, machine: Path) -> None:
    """A quote carries what was asked, padded with zeros, behind Open Enclave's header; garbage is refused."""
    platform = opener(machine)
    issuer, verifier = platform.issuer(), platform.quote_verifier()
    for data in (b"", b"d" * 32, b"e" * 64):
        quote = issuer.quote(data)
        assert quote[:8] == bytes.fromhex("0100000002000000")
        verdict = verifier.verify(quote, NOW)
        assert verdict.code is Code.OK
        assert isinstance(verdict.report, Report)
        assert verdict.report.report_data == data.ljust(64, b"\0")
    for junk in (b"", b"junk", bytes(5000)):
        assert verifier.verify(junk, NOW).code is not Code.OK
    with pytest.raises(ValueError, match="64"):
        issuer.quote(bytes(65))


def test_another_machines_quotes_do_not(opener: Opener, machine: Path, tmp_path: Path) -> None:
    """Whoever made another machine does not get in here."""
    stranger = SimulationPlatform.create(tmp_path / "other", at=NOW).directory
    foreign = opener(stranger).issuer().quote(b"d")
    assert opener(machine).quote_verifier().verify(foreign, NOW).code is not Code.OK


def test_its_keys_stay(opener: Opener, machine: Path) -> None:
    """Opened again it has the same keys, two different ones, and none is shown."""
    first, again = opener(machine).sealing_keys(), opener(machine).sealing_keys()
    assert first == again
    assert first.unique != first.product
    assert len(first.unique) == len(first.product) == 32
    assert repr(first.unique) not in repr(first)


def test_a_microcode_update_is_explained(opener: Opener, machine: Path) -> None:
    """Both keys change, what was sealed is foreign, and the circumstances say why."""
    entropy = SystemEntropy()
    before = AesGcmSealer(opener(machine).sealing_keys(), entropy)
    sealed = [before.seal(b"secret", b"name", policy=policy) for policy in SealPolicy]
    SimulationPlatform.open(machine).update_microcode()
    now = AesGcmSealer(opener(machine).sealing_keys(), entropy)
    for one in sealed:
        with pytest.raises(ForeignSealError):
            now.unseal(one, b"name")
    cause = likely_cause([before.circumstances()], now.circumstances(), unique=False, altered=False)
    assert "an update of microcode or BIOS" in cause


def test_what_is_not_real_says_so(opener: Opener, machine: Path) -> None:
    """Neither is Intel's hardware here, so both mark their certificates and warn."""
    platform = opener(machine)
    assert platform.name in set(PlatformName)
    assert "INSECURE" in (platform.marking or "")
    assert any("INSECURE" in warning for warning in platform.warnings())
