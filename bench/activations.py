"""Activations a second with a new connection each, and the Coordinator's CPU per activation: a baseline."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.mesh import one_approver_mesh
from bench.report import Row
from marbleops.attestation.platform.measure import measure
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.cli.demo.mesh import EXAMPLES
from marbleops.marble.activate import activate
from marbleops.marble.settings import MarbleSettings

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.demo.mesh import Mesh

SECONDS = 8.0
CLIENTS = 4
FLOOR = 200
"""Activations a second that a prototype reached on such a machine with the load generator beside it."""


def _cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - not a file on a disk
        fields = stat.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _client(mesh: Mesh, folder: Path, until: float, counts: list[int], lock: threading.Lock) -> None:
    folder.mkdir()
    issuer = SimulationPlatform.open(mesh.simulation).issuer(
        measure(EXAMPLES / "marbles" / "backend" / "v1" / "enclave.json")
    )
    settings = MarbleSettings.from_environ(
        {
            "EDG_MARBLE_COORDINATOR_ADDR": mesh.here.mesh,
            "EDG_MARBLE_TYPE": "backend",
            "EDG_MARBLE_DNS_NAMES": "backend",
            "EDG_MARBLE_UUID_FILE": str(folder / "uuid"),
        },
        directory=folder,
    )
    done = 0
    while time.perf_counter() < until:
        activate(settings, issuer)
        done += 1
    with lock:
        counts.append(done)


def run() -> list[Row]:
    """Let a few clients in this process activate as fast as they can."""
    with one_approver_mesh() as mesh:
        pid = mesh.here.process.popen.pid
        counts: list[int] = []
        lock = threading.Lock()
        cpu, begin = _cpu_seconds(pid), time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            jobs = [
                pool.submit(_client, mesh, mesh.world.root / f"client-{n}", begin + SECONDS, counts, lock)
                for n in range(CLIENTS)
            ]
            for job in jobs:
                job.result()
        took, cpu = time.perf_counter() - begin, _cpu_seconds(pid) - cpu
    done = sum(counts)
    return [
        Row(
            "activations a second, new connection each",
            f"{done / took:.0f}",
            f"{done / took / FLOOR:.2f} of the floor ({FLOOR}/s)",
        ),
        Row(
            "  Coordinator CPU per activation",
            f"{cpu / done * 1000:.2f} ms",
            f"{cpu / took:.2f} of a core; the rest is the clients'",
        ),
    ]
