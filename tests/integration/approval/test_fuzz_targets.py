"""The fuzz targets of this package start and hold their invariants for a short, fixed run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("target", ["fuzz_gitobject", "fuzz_sshsig"])
def test_a_short_run_finds_nothing(target: str) -> None:
    """The run is deterministic: a failure prints the input and repeats."""
    done = subprocess.run(
        [sys.executable, "-m", f"fuzz.{target}", "--runs", "2000"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "2000 inputs" in done.stdout
