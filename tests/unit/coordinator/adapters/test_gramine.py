"""The enclave under Gramine: whose quotes it believes, what it says at start, and why it refuses."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from coordinator.adapters.attestation_files import AttestationDirectory
from coordinator.adapters.gramine import GraminePlatform, Hardware, open_gramine
from coordinator.errors import PlatformError
from coordinator.opening import open_world
from coordinator.settings import read_settings
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.verdict import INTEL, Code
from tests.fakes.attestation_directory import FakeProcessor

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DEV = Path("/dev/attestation")
IDENTITY = EnclaveIdentity(
    unique_id=b"u" * 32, signer_id=b"s" * 32, product_id=3, security_version=3, debug=False
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> SimulationPlatform:
    return SimulationPlatform.create(tmp_path_factory.mktemp("machine") / "m", at=NOW, seed=b"g" * 32)


@pytest.fixture
def processor(machine: SimulationPlatform) -> FakeProcessor:
    return FakeProcessor(machine, IDENTITY)


def _open(processor: FakeProcessor, *, collateral: Path | None = None, at: datetime = NOW) -> GraminePlatform:
    found = processor.machine.directory / "collateral.json" if collateral is None else collateral
    return open_gramine(processor.hardware(DEV), found, at=at)


def test_the_door_is_closed() -> None:
    """Without a test's argument it is the real directory and Intel's root, whatever the environment says."""
    hardware = Hardware()
    assert hardware.directory.path == DEV
    assert hardware.anchors == Anchors.intel()
    assert not hardware.directory.is_enclave()
    with pytest.raises(PlatformError, match=r"ENOENT.*does not run in an enclave"):
        open_world(read_settings({"EDG_COORDINATOR_PLATFORM": "gramine"}, cwd=DEV), hardware)


def test_an_enclave_refuses_the_simulation(processor: FakeProcessor) -> None:
    """Where there is real attestation, a simulated platform is never used (attestation.md 5.1)."""
    environ = {"EDG_COORDINATOR_PLATFORM": "simulation", "EDG_COORDINATOR_SIMULATION_DIR": "m"}
    settings = read_settings(environ, cwd=processor.machine.directory.parent)
    with pytest.raises(PlatformError, match="never runs on a simulated platform"):
        open_world(settings, processor.hardware(DEV))
    processor.attestation_type = "none"
    assert open_world(settings, processor.hardware(DEV)).platform.name == "simulation"


def test_intel_does_not_vouch_for_a_simulation(processor: FakeProcessor) -> None:
    """The simulated quoting key behind a real directory does not start: its root is not Intel's."""
    hardware = replace(processor.hardware(DEV), anchors=Anchors.intel())
    with pytest.raises(PlatformError, match="do not end in a root of intel"):
        open_gramine(hardware, processor.machine.directory / "collateral.json", at=NOW)
    unknown = open_gramine(hardware, None, at=NOW)
    assert (unknown.marking, unknown.attestation.verdict, unknown.published_collateral) == (None, None, None)
    assert "EDG_COORDINATOR_COLLATERAL" in unknown.warnings()[0]


def test_self_attestation(processor: FakeProcessor, tmp_path: Path) -> None:
    """An enclave knows at start what its clients will say: fine, outdated, debug, expired, unknown."""
    assert [w[:8] for w in _open(processor).warnings()] == ["INSECURE"]
    old = processor.machine.stage_collateral(at=NOW, tcb_status="OutOfDate", advisories=("INTEL-SA-00001",))
    file = tmp_path / "collateral.json"
    file.write_text(old.to_json())
    assert "status OutOfDate (advisories: INTEL-SA-00001)" in _open(processor, collateral=file).warnings()[1]
    debug = FakeProcessor(processor.machine, replace(processor.identity, debug=True))
    assert "Its host can read" in _open(debug).warnings()[1]
    late = _open(processor, at=NOW + timedelta(days=90)).warnings()[1]
    assert late.startswith("Clients will not accept this Coordinator: ")
    assert "EXPIRED" in late
    empty = tmp_path / "empty"
    empty.mkdir()
    words = _open(processor, collateral=empty).warnings()[1]
    assert (
        f"no collateral for platforms with FMSPC 50FF00000000: put it at {empty}/50FF00000000.json" in words
    )
    with pytest.raises(PlatformError, match="EDG_COORDINATOR_COLLATERAL names"):
        _open(processor, collateral=tmp_path / "nothing")


def test_collateral_appears_and_changes(processor: FakeProcessor, tmp_path: Path) -> None:
    """Collateral is read again when it changed: nobody restarts a Coordinator for it."""
    platform = _open(processor, collateral=tmp_path)
    quote, verifier = platform.issuer().quote(b"d"), platform.quote_verifier()
    file = tmp_path / "50FF00000000.json"
    assert verifier.verify(quote, NOW).code is Code.COLLATERAL_FORMAT
    file.write_text("{}")
    assert "is no collateral" in verifier.verify(quote, NOW).detail
    file.write_text(processor.machine.collateral().to_json())
    assert [verifier.verify(quote, NOW).code for _ in range(2)] == [Code.OK, Code.OK]
    file.write_text(processor.machine.stage_collateral(at=NOW, revoke_pck=True).to_json())
    assert verifier.verify(quote, NOW).code is Code.CERT_REVOKED
    lives = dict(platform.collateral_lives(NOW))
    assert {labels[:3] for labels in lives} == {
        (kind, "sgx", "50FF00000000") for kind in ("tcb-info", "qe-identity", "pck-crl", "root-crl")
    }
    assert all(timedelta(days=29) < timedelta(seconds=left) < timedelta(days=400) for left in lives.values())
    (tmp_path / "50FF00000000.tdx.json").write_text("[]")
    assert dict(platform.collateral_lives(NOW)) == lives
    file.unlink()
    file.mkdir()
    assert "cannot be read" in verifier.verify(quote, NOW).detail


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("attestation_type", errno.ENOENT, r"attestation_type \(ENOENT.*start it with gramine-sgx"),
        ("user_report_data", errno.EACCES, r"cannot write .*user_report_data \(EACCES"),
        ("quote", errno.EACCES, r"quote \(EACCES.*aesmd"),
        ("quote", errno.ENOENT, "sign it anew"),
        ("quote", errno.EIO, r"quote \(EIO.*docs/gramine.md"),
        ("keys/_sgx_mrsigner", errno.ENOENT, "from version 1.3 on"),
    ],
)
def test_errors_say_where_and_what_to_do(
    processor: FakeProcessor, name: str, number: int, words: str
) -> None:
    """Each failure names the file, what the system said, and what to look at."""
    processor.errors[name] = number
    with pytest.raises(PlatformError, match=words):
        _open(processor).sealing_keys()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("attestation_type", b"none", "says 'none', not 'dcap'"),
        ("attestation_type", b"x" * 65, "longer than 64"),
        ("report", bytes(431), "431 bytes, not 432"),
        ("quote", bytes(8193), "longer than 8192"),
        ("quote", b"", "gave no SGX quote"),
        ("quote", bytes(5000), "gave no SGX quote"),
        ("keys/_sgx_mrenclave", bytes(16), "all zeros"),
        ("keys/_sgx_mrenclave", b"", "0 bytes, not 16"),
    ],
)
def test_what_the_host_makes_up(processor: FakeProcessor, name: str, content: bytes, words: str) -> None:
    """Content of a wrong kind or size is refused, whole."""
    processor.answers[name] = content
    with pytest.raises(PlatformError, match=words):
        _open(processor).sealing_keys()


def test_quotes_of_others(processor: FakeProcessor) -> None:
    """A quote of another enclave, or over other data, never leaves this one."""
    issuer = _open(processor).issuer()
    processor.answers["quote"] = processor.machine.issuer(
        replace(processor.identity, unique_id=b"o" * 32)
    ).quote(b"d")[16:]
    with pytest.raises(PlatformError, match="another enclave"):
        issuer.quote(b"d")
    processor.answers["quote"] = processor.machine.issuer(processor.identity).quote(b"other")[16:]
    with pytest.raises(PlatformError, match="other report data"):
        issuer.quote(b"d")


def test_one_at_a_time(processor: FakeProcessor) -> None:
    """Two threads never get each other's quotes: writing and reading are one turn."""
    issuer = _open(processor).issuer()
    failures: list[str] = []
    waiting: list[Thread] = []

    def quote(data: bytes) -> None:
        try:
            issuer.quote(data)
        except PlatformError as error:
            failures.append(str(error))

    def interrupt() -> None:
        if not waiting:
            waiting.append(Thread(target=quote, args=(b"second",)))
            waiting[0].start()
            waiting[0].join(0.01)  # it must not get in between

    processor.between = interrupt
    quote(b"first")
    waiting[0].join()
    assert failures == []


def test_keys_belong_to_their_domain(processor: FakeProcessor) -> None:
    """The same 16 bytes give other keys under Intel's anchor: no state moves from a test to production."""
    platform = _open(processor)
    real = replace(platform, hardware=replace(platform.hardware, anchors=Anchors.intel()))
    assert real.hardware.anchors.trust_domain == INTEL
    assert real.sealing_keys().product != platform.sealing_keys().product
    assert real.sealing_keys().circumstances["microcode"] == processor.cpu_svn().hex()
    assert isinstance(real.hardware.directory, AttestationDirectory)
