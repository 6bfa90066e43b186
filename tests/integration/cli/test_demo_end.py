"""However the demo ends, it takes its processes and its folder with it, or says exactly how to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from marbleops.cli.demo.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@contextlib.contextmanager
def playing() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start the demo, wait until its Coordinator serves, and give process and folder."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "marbleops", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if "bare repository" in line)
        root = Path(line.split()[-1]).parent
        next(line for line in demo.stdout if "Coordinator serves" in line)
        yield demo, root
    finally:
        if demo.poll() is None:
            demo.terminate()
        demo.communicate(timeout=30)


def still_running(root: Path) -> list[str]:
    """Return the command lines of processes whose environment or arguments name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            facts = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if os.fsencode(root) in facts:
                found.append((process / "cmdline").read_text())
    return found


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT, signal.SIGINT, signal.SIGINT), (signal.SIGHUP,)],
    ids=["Ctrl-C, and again", "the terminal is closed"],
)
def test_an_interrupted_demo_leaves_nothing(signals: tuple[signal.Signals, ...]) -> None:
    """Impatience must not leave a Coordinator behind: no process, no folder, exit code 130."""
    with playing() as (demo, root):
        assert root.is_dir()
        for number in signals:
            demo.send_signal(number)
            time.sleep(0.1)
        said, _ = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert "nothing is left behind" in said
    assert not root.exists()
    assert still_running(root) == []


def test_what_was_kept_can_be_ended() -> None:
    """The printed command ends every process, also one whose command line does not name the folder."""
    world = World.create()
    sleeper = world.start("sleeper", ["sleep", "300"])
    ended = world.start("ended", ["true"])
    ended.popen.wait(timeout=10)

    world.close(keep=True)
    assert sleeper.popen.poll() is None, "it was kept"
    subprocess.run(["sh", str(world.stop_script)], check=True, timeout=10)

    assert sleeper.popen.wait(timeout=10) == -signal.SIGKILL
    assert not world.root.exists()
