"""The demo's world: a short temporary folder, a clean environment, real processes, and an end to all of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marbleops.cli.demo.narrator import NotAsToldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

START_SECONDS = 30.0
COMMAND_SECONDS = 60.0
STOP_SECONDS = 3.0


def clean_environment(home: Path) -> dict[str, str]:
    """Build the environment of every child: nothing of the user's Git, SSH agent or proxies gets in."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        "HOME": str(home),
        "PATH": path,
        "TMPDIR": str(home.parent),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "PYTHONUTF8": "1",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Parse the output.

        Raises:
            NotAsToldError: it is not JSON.
        """
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise NotAsToldError(f"expected JSON, got {self.out[-300:]!r} {self.err[-500:]!r}") from error


@dataclass(slots=True)
class Process:
    """A child in a session of its own, so that it and whatever it started can be ended together."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL to the whole group)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=10)

    def tail(self, size: int = 1500) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


@dataclass(slots=True)
class World:
    """Everything the demo makes, below one folder."""

    root: Path
    processes: list[Process] = field(default_factory=list)
    _starting: bool = False
    _interrupted: bool = False

    @classmethod
    def create(cls) -> World:
        """Make the folder: short, because Unix sockets and people's eyes like short paths."""
        os.umask(0o077)
        world = cls(root=Path(tempfile.mkdtemp(prefix="mo-", dir="/tmp" if Path("/tmp").is_dir() else None)))  # noqa: S108 - short on purpose
        for name in ("home", "logs", "work"):
            (world.root / name).mkdir()
        return world

    @property
    def environment(self) -> dict[str, str]:
        """Return a fresh copy of the clean environment."""
        return clean_environment(self.root / "home")

    @property
    def allowed_signers(self) -> Path:
        """Who signs commits here, for ``git log --show-signature``; nothing of ours reads it."""
        return self.root / "allowed_signers"

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        extra: Mapping[str, str] | None = None,
        codes: Sequence[int] | None = (0,),
        stdin: bytes = b"",
        seconds: float = COMMAND_SECONDS,
    ) -> Result:
        """Run a command to its end.

        Raises:
            NotAsToldError: its exit code is not one of *codes* (``None`` allows any).
        """
        done = subprocess.run(  # noqa: S603 - arguments are ours
            list(arguments),
            cwd=cwd or self.root / "work",
            env=self.environment | dict(extra or {}),
            input=stdin,
            capture_output=True,
            start_new_session=True,  # no terminal: the commit hook must not ask whoever watches the demo
            timeout=seconds,
            check=False,
        )
        result = Result(
            code=done.returncode,
            out=done.stdout.decode(errors="replace"),
            err=done.stderr.decode(errors="replace"),
        )
        if codes is not None and result.code not in codes:
            command = " ".join(arguments)
            raise NotAsToldError(
                f"`{command}` ended with {result.code}, not {list(codes)}:\n{result.out[-1500:]}{result.err[-1500:]}"
            )
        return result

    def marbleops(self, *arguments: str, **options: Any) -> Result:
        """Run one of our own commands, as a user would."""
        return self.run([sys.executable, "-m", "marbleops", *arguments], **options)

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        extra: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a long-running child; its output goes to ``logs/<name>.log``."""
        log = self.root / "logs" / f"{name}.log"
        with log.open("ab") as sink, self._whole():
            popen = subprocess.Popen(  # noqa: S603 - arguments are ours
                list(arguments),
                cwd=cwd or self.root / "work",
                env=self.environment | dict(extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            process = Process(name, popen, log)
            self.processes.append(process)
        return process

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal that ends the demo: at once, or after the child that is just being born."""
        if self._starting:
            self._interrupted = True
            return
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Let nothing come between a child's birth and its place on the list of what is to be ended."""
        self._starting = True
        try:
            yield
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt

    def until(
        self,
        what: str,
        probe: Callable[[], Any],
        *,
        process: Process | None = None,
        seconds: float = START_SECONDS,
    ) -> Any:
        """Wait until *probe* returns something true, and return it.

        Raises:
            NotAsToldError: it did not in time, or *process* ended meanwhile.
        """
        end = time.monotonic() + seconds
        while True:
            value = probe()
            if value:
                return value
            if process is not None and process.popen.poll() is not None:
                raise NotAsToldError(
                    f"{process.name} ended with {process.popen.returncode} while waiting for {what}:\n{process.tail()}"
                )
            if time.monotonic() > end:
                raise NotAsToldError(
                    f"no {what} after {seconds:.0f} s" + (f":\n{process.tail()}" if process else "")
                )
            time.sleep(0.02)

    def read_json(self, path: Path) -> Any:
        """Read a JSON file that may not be there yet, or be half a second from being whole."""
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            return None

    def close(self, *, keep: bool) -> None:
        """End all children and remove the folder, or leave both and write the script that does it later."""
        running = [process for process in self.processes if process.popen.poll() is None]
        if keep:
            self._write_stop(running)
            return
        for process in running:
            process.popen.terminate()
        end = time.monotonic() + STOP_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout=max(0.0, end - time.monotonic()))
            process.kill()  # and what it started: the reconciler's fetching child ends a moment after it
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def stop_script(self) -> Path:
        """The script that ends a demo that was kept."""
        return self.root / "stop"

    def _write_stop(self, running: Sequence[Process]) -> None:
        """Name every process by its group: a Coordinator's command line says nothing about this folder."""
        groups = " ".join(f"-{process.popen.pid}" for process in running)
        end = f"kill -s KILL -- {groups} 2> /dev/null\n" if groups else ""
        self.stop_script.write_text(f"#!/bin/sh\n{end}rm -rf {self.root}\n")
