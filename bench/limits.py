"""What the machine can do: OpenSSL's own P-384 figures, measured in the same run as ours."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SECONDS = 3
_SPEED = re.compile(rb"nistp384\)\s+\S+\s+\S+\s+([0-9.]+)\s+([0-9.]+)")
_CONNECTIONS = re.compile(rb"^([0-9]+) connections in ([0-9.]+) real seconds", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """P-384 on one core, and new mutual P-384 connections with both ends on this machine; a second."""

    signatures: float
    verifications: float
    handshakes: float
    server_milliseconds: float
    """CPU of ``openssl s_server`` for each of those connections."""


def measure() -> Limits:
    """Ask ``openssl speed``, ``s_server`` and ``s_time``."""
    speed = _run("openssl", "speed", "-seconds", "2", "ecdsap384")
    found = _SPEED.search(speed)
    if found is None:
        raise RuntimeError("openssl speed printed something else")
    handshakes, cpu = _handshakes()
    return Limits(
        signatures=float(found.group(1)),
        verifications=float(found.group(2)),
        handshakes=handshakes,
        server_milliseconds=cpu * 1000,
    )


def _handshakes() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="mo-bench-") as name:
        folder = Path(name)
        for who in ("server", "client"):
            _run(
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"),
                *("-nodes", "-subj", f"/CN={who}", "-days", "2"),
                *("-keyout", str(folder / f"{who}.key"), "-out", str(folder / f"{who}.crt")),
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        own = ("-cert", str(folder / "server.crt"), "-key", str(folder / "server.key"))
        server = subprocess.Popen(
            ["openssl", "s_server", "-accept", address, *own, "-Verify", "1", "-quiet", "-no_ticket"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(address)
            theirs = ("-cert", str(folder / "client.crt"), "-key", str(folder / "client.key"))
            before = _cpu_seconds(server.pid)
            out = _run("openssl", "s_time", "-connect", address, "-new", "-time", str(SECONDS), *theirs)
            cpu = _cpu_seconds(server.pid) - before
        finally:
            server.kill()
            server.wait()
    found = _CONNECTIONS.search(out)
    if found is None:
        raise RuntimeError("openssl s_time printed something else")
    count = int(found.group(1))
    return count / float(found.group(2)), cpu / max(1, count)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("openssl s_server does not listen")


def _run(*command: str) -> bytes:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ).stdout


def own_cpu_seconds() -> float:
    """Return the CPU time of this process: what the load itself has cost."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
