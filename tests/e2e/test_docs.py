"""The commands in the docs work as they stand: every ``sh`` block of the tutorial, in order, in one shell."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from marbleops.cli.demo.world import clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def run_page(page: str, tmp_path: Path) -> str:
    """Run all ``sh`` blocks of a page in one shell, with other ports so that nothing else is in the way."""
    text = (ROOT / "docs" / page).read_text()
    text = text.replace("127.0.0.1:4433", f"127.0.0.1:{free_port()}").replace(
        "127.0.0.1:2001", f"127.0.0.1:{free_port()}"
    )
    blocks = BLOCK.findall(text)
    assert len(blocks) >= 6
    work = tmp_path / "work"
    home = tmp_path / "home"
    work.mkdir()
    home.mkdir()
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(blocks)

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=work,
        env=clean_environment(home) | {"MARBLEOPS": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """All its commands succeed in one shell."""
    shown = run_page("tutorial.md", tmp_path)

    assert "NOT PINNED" in shown
    assert "1 of 2" in shown, shown[-3000:]


def test_moving_from_marblerun_works_as_written(tmp_path: Path) -> None:
    """MarbleRun's workflows, from the first manifest to a recovery."""
    shown = run_page("moving-from-marblerun.md", tmp_path)

    for words in (
        "Manifest successfully set",
        "Data:          aHVudGVyMg==",
        "\nhunter2 ",  # what the marble was given
        "not yet acknowledged the update: [bob]",
        "Update successfully applied",
        "exit code 6",
        "Recovery successful.",
    ):
        assert words in shown, shown[-3000:]


def test_every_command_the_readme_shows_exists() -> None:
    """Each verb that the README names answers ``--help``."""
    verbs = sorted(set(re.findall(r"^marbleops ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)))
    assert verbs

    for verb in verbs:
        done = subprocess.run(
            [sys.executable, "-m", "marbleops", verb, "--help"],
            capture_output=True,
            timeout=60,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, verb
