"""The committed stubs are what ``schemas/marble.proto`` gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


def test_the_stubs_are_up_to_date(tmp_path: Path) -> None:
    """Generating again gives the same bytes; if not, run tools/generate-stubs."""
    subprocess.run(
        [ROOT / "tools" / "generate-stubs", tmp_path], check=True, timeout=60, env={"PYTHON": sys.executable}
    )
    for name in ("marble_pb2.py", "marble_pb2.pyi"):
        assert (tmp_path / name).read_bytes() == (ROOT / "marbleops" / "wire" / name).read_bytes()
