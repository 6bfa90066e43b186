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
from tests.fakes import gramine_coordinator, shop
from tests.fakes.attestation_directory import FakeProcessor, Fifos
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.fakes.enclave_image import ROOT, assemble, blocks, locked_packages
from tools.gramine_lint import lint_image

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
PYTHON = ("-I", "-S", "-X", "utf8")
"""As in the manifest, but bytecode may be written: the second start need not compile everything anew."""
ENVIRON = {"EDG_COORDINATOR_PLATFORM": "gramine", "EDG_COORDINATOR_SIMULATION_DIR": ""}


@pytest.fixture
def machine(tmp_path: Path) -> SimulationPlatform:
    return SimulationPlatform.create(tmp_path / "platform", at=datetime.now(UTC))


@pytest.fixture
def enclave(machine: SimulationPlatform, tmp_path: Path) -> Iterator[Fifos]:
    with Fifos(FakeProcessor(machine), tmp_path / "attestation") as directory:
        yield directory


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assemble(tmp_path_factory.mktemp("image") / "coordinator")


@pytest.fixture
def coordinator(
    machine: SimulationPlatform, enclave: Fifos, image: Path, tmp_path: Path
) -> Iterator[CoordinatorProcess]:
    """Run the image's own files, with a test's hardware in the place of the real one."""
    collateral = tmp_path / "collateral"
    collateral.mkdir()
    shutil.copy(machine.directory / "collateral.json", collateral / "50FF00000000.json")
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(image)!r}); "
        f"runpy.run_path({gramine_coordinator.__file__!r}, run_name='__main__')"
    )
    process = CoordinatorProcess(
        tmp_path,
        environ={**ENVIRON, "EDG_COORDINATOR_COLLATERAL": str(collateral)},
        command=(*PYTHON, "-c", program, str(enclave.path), str(machine.directory / "anchor.der")),
    )
    yield process
    process.close()


def test_the_image_holds_what_it_needs_and_no_more(image: Path) -> None:
    """Its packages are those of the lock file, and the lint finds no simulation in it."""
    everything = blocks((ROOT / "requirements" / "run.txt").read_text())
    locked = locked_packages()
    assert {name: everything.get(name) for name in locked} == locked
    assert lint_image(image) == []


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


def test_the_image_has_no_simulation(coordinator: CoordinatorProcess, image: Path) -> None:
    """The program of the image, started on a simulated machine: refused, since it is not in there."""
    coordinator.command = (*PYTHON, str(image))
    process = coordinator.launch(
        EDG_COORDINATOR_PLATFORM="simulation",
        EDG_COORDINATOR_SIMULATION_DIR=str(coordinator.simulation),
        EDG_COORDINATOR_COLLATERAL="",
    )
    assert process.wait(timeout=20) == 1
    assert "this build has no simulated platform" in coordinator.log
