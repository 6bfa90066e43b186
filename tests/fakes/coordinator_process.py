"""A real Coordinator process in a folder, and a plain HTTPS client for it that checks nothing."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from marbleops.approval.evidence import encode_evidence
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marbleops.approval.evidence import Piece

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The whole document."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """The envelope's data."""
        return self.json["data"]


@dataclass(slots=True)
class CoordinatorProcess:
    """Starts, asks, kills and restarts one Coordinator; its state lives in *directory*."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ("-m", "coordinator")
    process: subprocess.Popen[bytes] | None = None
    client_port: int = 0
    mesh_port: int = 0

    @property
    def simulation(self) -> Path:
        """The simulated platform's directory."""
        return self.directory / "platform"

    @property
    def log(self) -> str:
        """Everything the process has logged."""
        return (self.directory / "log").read_text()

    def launch(self, **environ: str) -> subprocess.Popen[bytes]:
        """Start a process without waiting for it."""
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        if not self.simulation.exists():
            SimulationPlatform.create(self.simulation.resolve(), at=datetime.now(UTC))
        own = {
            "EDG_COORDINATOR_PLATFORM": "simulation",
            "EDG_COORDINATOR_MESH_ADDR": "127.0.0.1:0",
            "EDG_COORDINATOR_CLIENT_ADDR": "127.0.0.1:0",
            "EDG_COORDINATOR_SEAL_DIR": str(self.directory / "sealed"),
            "EDG_COORDINATOR_SIMULATION_DIR": str(self.simulation),
            "EDG_COORDINATOR_READY_FILE": str(ready),
            "PATH": os.environ["PATH"],
        }
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=ROOT,
                env=own | self.environ | environ,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        return self.process

    def start(self, **environ: str) -> Self:
        """Start a process and wait until it serves."""
        process = self.launch(**environ)
        ready = self.directory / "ready.json"
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, f"the Coordinator ended with {process.returncode}: {self.log}"
            assert time.monotonic() < deadline, f"the Coordinator does not serve: {self.log}"
            time.sleep(0.01)
        announced = json.loads(ready.read_text())
        assert announced["pid"] == process.pid
        self.client_port, self.mesh_port = announced["clientPort"], announced["meshPort"]
        return self

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it in order; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def close(self) -> None:
        """Make sure nothing is left running."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, context: ssl.SSLContext | None = None
    ) -> Answer:
        """Send one request on a connection of its own; *context* may carry a client certificate."""
        context = context or unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.client_port, timeout=30, context=context)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET a call of version 2."""
        return self.ask("GET", f"/api/v2/{path}")

    def update(
        self, raw: bytes, pieces: Sequence[Piece], *, dry_run: bool = False, source: Any = None
    ) -> Answer:
        """POST a manifest with evidence."""
        call = {
            "manifest": base64.b64encode(raw).decode(),
            "dryRun": dry_run,
            "evidence": encode_evidence(pieces),
        }
        if source is not None:
            call["source"] = source
        return self.ask("POST", "/api/v2/gitops/update", json.dumps(call).encode())

    def deployment(self) -> Digest:
        """Return the deployment id."""
        return Digest.parse(self.get("status").data["deployment"])


def unverified_context() -> ssl.SSLContext:
    """Return a client context that checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one loads every CA of the system
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
