"""A real Coordinator process on platform gramine, over a directory that behaves like /dev/attestation."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coordinator.main import EXECUTOR_THREADS
from marbleops.attestation.platform.simulation import SimulationPlatform
from tests.fakes import shop
from tests.fakes.attestation_directory import FakeProcessor, Fifos
from tests.fakes.coordinator_process import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
ENVIRON = {"EDG_COORDINATOR_PLATFORM": "gramine", "EDG_COORDINATOR_SIMULATION_DIR": ""}


@pytest.fixture
def machine(tmp_path: Path) -> SimulationPlatform:
    return SimulationPlatform.create(tmp_path / "platform", at=datetime.now(UTC))


@pytest.fixture
def enclave(machine: SimulationPlatform, tmp_path: Path) -> Iterator[Fifos]:
    with Fifos(FakeProcessor(machine), tmp_path / "attestation") as directory:
        yield directory


@pytest.fixture
def coordinator(machine: SimulationPlatform, enclave: Fifos, tmp_path: Path) -> Iterator[CoordinatorProcess]:
    collateral = tmp_path / "collateral"
    collateral.mkdir()
    shutil.copy(machine.directory / "collateral.json", collateral / "50FF00000000.json")
    anchor = machine.directory / "anchor.der"
    process = CoordinatorProcess(
        tmp_path,
        environ={**ENVIRON, "EDG_COORDINATOR_COLLATERAL": str(collateral)},
        command=("-m", "tests.fakes.gramine_coordinator", str(enclave.path), str(anchor)),
    )
    yield process
    process.close()


def test_serves_restarts_and_loses_its_key(
    coordinator: CoordinatorProcess, machine: SimulationPlatform, enclave: Fifos
) -> None:
    """It serves, goes on after a restart, and after a microcode update waits for recovery and says why."""
    coordinator.start()
    status = coordinator.get("status").data
    assert (status["platform"], status["code"]) == ("gramine", 2)
    assert status["warnings"] == ["INSECURE TEST HARDWARE: the quotes of this Coordinator are not Intel's."]
    assert coordinator.ask("POST", "/manifest", shop.plain_manifest()).status == 200
    quotes = {coordinator.get(f"quote?nonce={nonce}").data["quote"] for nonce in ("YQ==", "Yg==")}
    assert len(quotes) == 2
    assert coordinator.get("collateral").status == 404
    assert coordinator.process is not None
    threads = len(list(Path(f"/proc/{coordinator.process.pid}/task").iterdir()))
    assert threads <= 1 + EXECUTOR_THREADS  # docs/gramine.md counts on it
    assert coordinator.stop() == 0
    coordinator.start()
    assert coordinator.get("status").data["code"] == 3
    told = next(line for line in coordinator.log.splitlines() if "self_attestation" in line)
    assert json.loads(told)["code"] == "OK"
    coordinator.stop()
    machine.update_microcode()
    enclave.write_keys()
    coordinator.start()
    assert coordinator.get("status").data["code"] == 1
    assert (
        "the processor's security version changed (an update of microcode or BIOS): "
        f"microcode was 05{'0' * 30}, is 06{'0' * 30}" in coordinator.log
    )


def test_the_program_has_no_such_door(coordinator: CoordinatorProcess, enclave: Fifos) -> None:
    """The real entry point takes the real directory and nothing else, whatever the environment names."""
    coordinator.command = ("-m", "coordinator")
    process = coordinator.launch(EDG_COORDINATOR_ATTESTATION_DIR=str(enclave.path))
    assert process.wait(timeout=20) == 1
    assert "cannot read /dev/attestation/attestation_type (ENOENT" in coordinator.log
    assert "does not run in an enclave" in coordinator.log
