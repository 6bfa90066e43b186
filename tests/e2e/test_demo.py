"""The demo is the product's promise: it runs as a user runs it, and all nine scenes come out as told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_the_demo_plays_as_told() -> None:
    """All nine scenes are played, in JSON as well, and nothing is left behind."""
    before = set(Path("/tmp").glob("mo-*"))

    done = subprocess.run(
        [sys.executable, "-m", "marbleops", "demo", "--output", "json"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    told = json.loads(done.stdout)
    assert told["failure"] is None
    assert done.returncode == 0
    assert [scene["scene"] for scene in told["scenes"]] == list(range(1, 10))
    assert told["seconds"] < 120
    mine = {path for path in set(Path("/tmp").glob("mo-*")) - before if (path / "alice").exists()}
    assert not mine
