"""Several processes share one simulated machine, and quoting is quick enough to be unnoticed."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from conformance import quotesmith as smith
from marbleops.attestation.platform.simulation import SimulationPlatform

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from datetime import datetime
from pathlib import Path
from marbleops.attestation.platform.simulation import SimulationPlatform
platform = SimulationPlatform.create(Path(sys.argv[1]), at=datetime.fromisoformat(sys.argv[2]))
print(platform.anchor_der.hex())
"""


def test_two_processes_make_one_machine(tmp_path: Path) -> None:
    """Processes that create at the same time end up on one machine."""
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "p"), smith.AT.isoformat()]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    anchors = {process.communicate(timeout=60)[0] for process in processes}

    assert [process.returncode for process in processes] == [0] * 4
    assert len(anchors) == 1
    assert SimulationPlatform.open(tmp_path / "p").anchor_der.hex() == anchors.pop().strip()


def test_a_read_only_directory_will_do(tmp_path: Path) -> None:
    """Opening needs no right to write, neither in the directory nor in its files."""
    platform = SimulationPlatform.create(tmp_path / "p", at=smith.AT)
    (platform.directory / "platform.key").chmod(0o400)
    platform.directory.chmod(0o555)
    try:
        assert SimulationPlatform.open(platform.directory).collateral() == platform.collateral()
    finally:
        platform.directory.chmod(0o755)


def test_quotes_are_quick(tmp_path: Path) -> None:
    """A quote takes less than 5 ms (the best of many, so that a busy machine does not matter)."""
    issuer = SimulationPlatform.create(tmp_path / "p", at=smith.AT).issuer(smith.IDENTITY)
    durations = []
    for _ in range(50):
        begin = time.perf_counter()
        issuer.quote(smith.REPORT_DATA)
        durations.append(time.perf_counter() - begin)

    assert min(durations) < 0.005
