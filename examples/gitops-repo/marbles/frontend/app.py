"""The shop's frontend: greets the backend over mutual TLS and proves that it holds the session key.

It reports names and digests of what it was given, never a value.
"""

import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

from marbleops.marble.tls import client_context

FILES = ("secrets/storage.hex",)
GIVEN = ("GREETING", "SESSION_KEY", "FRONTEND_CERTIFICATE")
PATIENCE_SECONDS = 20.0
MAX_ANSWER = 4096


def main() -> None:
    report = received()
    report["backend_said"], report["backend_peer"] = greet(backend_port())
    publish("DEMO_REPORT", json.dumps(report))
    print(f"frontend: {report['backend_peer']} said {report['backend_said']!r}", flush=True)
    signal.pause()


def greet(port: int) -> tuple[str, str]:
    greeting, session = os.environ["GREETING"], bytes.fromhex(os.environ["SESSION_KEY"])
    proof = hmac.new(session, greeting.encode(), hashlib.sha256).hexdigest()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        client_context().wrap_socket(connection, server_hostname="backend") as backend,
        backend.makefile("rb") as lines,
    ):
        backend.sendall(f"{greeting} {proof}\n".encode())
        return lines.readline(MAX_ANSWER).decode().strip(), name_of(backend)


def backend_port() -> int:
    """Wait for the file in which the backend says where it listens."""
    file = Path(os.environ["BACKEND_PORT_FILE"])
    end = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        if time.monotonic() > end:
            sys.exit("frontend: no backend came up")
        time.sleep(0.02)
    return int(file.read_text())


def received() -> dict:
    environment = [name for name in os.environ if name in GIVEN or name.startswith("MARBLE_PREDEFINED_")]
    return {
        "marble": "frontend",
        "argv": sys.argv,
        "env": sorted(environment),
        "files": {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in FILES},
        "mesh_root": fingerprint("MARBLE_PREDEFINED_ROOT_CA"),
        "coordinator_root": fingerprint("MARBLE_PREDEFINED_COORDINATOR_ROOT_CA"),
    }


def fingerprint(variable: str) -> str:
    return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(os.environ[variable])).hexdigest()


def name_of(peer: ssl.SSLSocket) -> str:
    names = [value for kind, value in peer.getpeercert().get("subjectAltName", ()) if kind == "DNS"]
    return next((name for name in names if name != "localhost"), "localhost")


def publish(variable: str, text: str) -> None:
    """Write what others wait for by rename, so that nobody reads half of it."""
    target = os.environ.get(variable)
    if target:
        beside = Path(f"{target}.{os.getpid()}")
        beside.write_text(text)
        beside.replace(target)


if __name__ == "__main__":
    main()
