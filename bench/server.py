"""A real Coordinator process with a plain manifest, for loads: its address, its CPU and its memory."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.attestation.platform.base import QuoteIssuer

IDENTITY = EnclaveIdentity(
    unique_id=b"\x11" * 32, signer_id=b"\x22" * 32, product_id=1, security_version=1, debug=False
)
MANIFEST = {
    "Packages": {"worker": {"SignerID": "22" * 32, "ProductID": 1, "SecurityVersion": 1}},
    "Marbles": {
        "worker": {
            "Package": "worker",
            "MaxActivations": 100_000_000,
            "Parameters": {
                "Argv": ["./worker"],
                "Env": {"TOKEN": "{{ hex .Secrets.token }}", "MODE": "bench"},
                "Files": {
                    "/run/key": "{{ raw .Secrets.shared }}",
                    "/run/own": "{{ base64 .Secrets.own }}",
                    "/run/ca.pem": "{{ pem .MarbleRun.RootCA.Cert }}",
                },
            },
        }
    },
    "Secrets": {
        "token": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        "shared": {"Type": "symmetric-key", "Size": 256, "Shared": True},
        "own": {"Type": "symmetric-key", "Size": 256},
    },
}
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One running Coordinator."""

    process: subprocess.Popen[bytes]
    folder: Path
    mesh: tuple[str, int]
    client: tuple[str, int]
    monitoring: int | None
    """The port of metrics, where it was asked for."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self, what: str = "VmRSS") -> float:
        """Return the memory it holds now, or with ``VmHWM`` the most it ever held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) / 1024
        raise LookupError(what)

    def issuer(self) -> QuoteIssuer:
        """Return what quotes as the manifest's package on this Coordinator's simulated machine."""
        return SimulationPlatform.open(self.folder / "platform").issuer(IDENTITY)

    def connect(self) -> http.client.HTTPSConnection:
        """Return a client of the REST port that checks nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        host, port = self.client
        return http.client.HTTPSConnection(host, port, timeout=30, context=context)


@contextmanager
def running_server(*, manifest: bool = True, **environ: str) -> Iterator[Server]:
    """Start a Coordinator in a folder of its own and give it the manifest; end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="mo-bench-") as name:
        folder = Path(name)
        SimulationPlatform.create(folder / "platform", at=datetime.now(UTC))
        server = _start(folder, environ)
        try:
            if manifest:
                _set_manifest(server)
            yield server
        finally:
            server.process.send_signal(signal.SIGTERM)
            try:
                server.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def _start(folder: Path, environ: dict[str, str]) -> Server:
    ready = folder / "ready.json"
    own = {
        "EDG_COORDINATOR_PLATFORM": "simulation",
        "EDG_COORDINATOR_MESH_ADDR": "127.0.0.1:0",
        "EDG_COORDINATOR_CLIENT_ADDR": "127.0.0.1:0",
        "EDG_COORDINATOR_SEAL_DIR": str(folder / "sealed"),
        "EDG_COORDINATOR_SIMULATION_DIR": str(folder / "platform"),
        "EDG_COORDINATOR_READY_FILE": str(ready),
        "PATH": os.environ["PATH"],
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "coordinator"],
            env=own | environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the Coordinator does not start: {(folder / 'log').read_text()}")
        time.sleep(0.02)
    found = json.loads(ready.read_text())
    return Server(
        process=process,
        folder=folder,
        mesh=("127.0.0.1", found["meshPort"]),
        client=("127.0.0.1", found["clientPort"]),
        monitoring=found.get("monitoringPort"),
    )


def _set_manifest(server: Server) -> None:
    connection = server.connect()
    body = json.dumps({"manifest": base64.b64encode(json.dumps(MANIFEST).encode()).decode()})
    connection.request("POST", "/api/v2/manifest", body)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the manifest was refused: {answer.read()!r}")
    connection.close()
