"""Fresh Coordinators for the cases: ours on a simulated platform, or any other through commands."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from conformance.wire.client import Target
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class Unable(Exception):  # noqa: N818  not an error of the Coordinator: the case is skipped
    """This host cannot do what a case asks for."""


class Host(Protocol):
    """Whoever starts, restarts and ends the Coordinator of the cases."""

    def fresh(self, environ: Mapping[str, str]) -> Target:
        """Start a Coordinator without any state."""

    def touched(self) -> None:
        """Take note that the Coordinator has a state now."""

    def restart(self) -> Target:
        """Start the same one again with the state it had."""

    def lose_key(self) -> Target:
        """Start it again on another machine, whose sealing key is another one."""

    def quote(self, report: bytes, identity: Mapping[str, str | int | bool], /) -> bytes:
        """Make the quote of a simulated enclave."""

    def close(self) -> None:
        """Leave nothing running."""


@dataclass(slots=True)
class Given:
    """A Coordinator at a fixed address; *reset* is a command that replaces it by a fresh one and waits for it."""

    target: Target
    reset: str | None = None
    has_state: bool = False

    def fresh(self, environ: Mapping[str, str]) -> Target:
        """Take the Coordinator as it is while it has no state, else run the reset command."""
        if environ:
            raise Unable("needs a Coordinator started with " + ", ".join(environ))
        if self.has_state and self.reset is None:
            raise Unable("needs another fresh Coordinator: give --reset-command")
        if self.has_state and self.reset is not None:
            subprocess.run(shlex.split(self.reset), check=True)
            self.has_state = False
        return self.target

    def touched(self) -> None:
        """Remember it."""
        self.has_state = True

    def restart(self) -> Target:
        """Not from outside."""
        raise Unable("needs a restart of the Coordinator")

    def lose_key(self) -> Target:
        """Not from outside."""
        raise Unable("needs a machine that loses its sealing key")

    def quote(self, _report: bytes, _identity: Mapping[str, str | int | bool], /) -> bytes:
        """Not from outside."""
        raise Unable("needs quotes of the simulated platform")

    def close(self) -> None:
        """Nothing was started here."""


class Nursery:
    """One process that forks Coordinators (``nursery.py``); safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "conformance.wire.nursery"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, environ: Mapping[str, str], log: Path) -> int:
        """Start a Coordinator and return its process number."""
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            raise RuntimeError("the nursery has no pipes")
        with self._lock:
            requests.write(json.dumps({"environ": dict(environ), "log": str(log)}) + "\n")
            requests.flush()
            answer = answers.readline()
        if not answer:
            raise RuntimeError("the nursery has ended")
        return int(answer)

    def close(self) -> None:
        """End the nursery."""
        self._process.communicate()


def alive(process: int) -> bool:
    """Tell whether a process of this number is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(slots=True)
class Ours:
    """Our Coordinator as a process of its own, in *folder*."""

    folder: Path
    nursery: Nursery
    process: int | None = None
    _number: int = 0
    _machine: int = 0
    _environ: dict[str, str] = field(default_factory=dict)

    def fresh(self, environ: Mapping[str, str]) -> Target:
        """Start with an empty folder on a new simulated machine."""
        self.close()
        self._number += 1
        self._environ = dict(environ)
        return self._start()

    def touched(self) -> None:
        """Nothing: every fresh one has a folder of its own."""

    def restart(self) -> Target:
        """Start again on the same machine."""
        self.close()
        return self._start()

    def lose_key(self) -> Target:
        """Start again on a new simulated machine."""
        self.close()
        self._machine += 1
        return self._start()

    def quote(self, report: bytes, identity: Mapping[str, str | int | bool], /) -> bytes:
        """Make a quote on the Coordinator's own simulated machine."""
        enclave = EnclaveIdentity(
            unique_id=bytes.fromhex(str(identity["unique"])),
            signer_id=bytes.fromhex(str(identity["signer"])),
            product_id=int(identity["product"]),
            security_version=int(identity["version"]),
            debug=bool(identity["debug"]),
        )
        return SimulationPlatform.open(self._platform).issuer(enclave).quote(report)

    def close(self) -> None:
        """End the process, in order if it ends within ten seconds."""
        if self.process is None:
            return
        process, self.process = self.process, None
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while alive(process) and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(process, signal.SIGKILL)

    @property
    def log(self) -> str:
        """What the process has logged."""
        return (self._home / "log").read_text()

    @property
    def _home(self) -> Path:
        return self.folder / str(self._number)

    @property
    def _platform(self) -> Path:
        return self._home / f"machine-{self._machine}"

    def _start(self) -> Target:
        home = self._home
        home.mkdir(exist_ok=True)
        ready = home / "ready.json"
        ready.unlink(missing_ok=True)
        if not self._platform.exists():
            SimulationPlatform.create(self._platform.resolve(), at=datetime.now(UTC))
        environ = {
            "EDG_COORDINATOR_PLATFORM": "simulation",
            "EDG_COORDINATOR_MESH_ADDR": "127.0.0.1:0",
            "EDG_COORDINATOR_CLIENT_ADDR": "127.0.0.1:0",
            "EDG_COORDINATOR_SEAL_DIR": str(home / "sealed"),
            "EDG_COORDINATOR_SIMULATION_DIR": str(self._platform),
            "EDG_COORDINATOR_READY_FILE": str(ready),
            "EDG_COORDINATOR_INSECURE_EMPTY_QUOTE": "1",
        }
        self.process = self.nursery.start(environ | self._environ, home / "log")
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if not alive(self.process) or time.monotonic() > deadline:
                raise RuntimeError(f"the Coordinator does not serve: {self.log[-2000:]}")
            time.sleep(0.005)
        announced = json.loads(ready.read_text())
        return Target("127.0.0.1", announced["clientPort"], announced["meshPort"])
