"""The fuzz target of templates starts and holds its invariants for a short, fixed run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


def test_a_short_run_finds_nothing() -> None:
    """The run is deterministic: a failure prints the input and repeats."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.fuzz_template", "--runs", "5000"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "5000 inputs" in done.stdout
