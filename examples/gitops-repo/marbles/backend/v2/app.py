"""The shop's backend: answers marbles of the mesh over mutual TLS, if they hold the session key too.

It reports names and digests of what it was given, never a value.
"""

import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
from pathlib import Path

from marbleops.marble.tls import server_context

BUILD = 2
FILES = ("secrets/session.hex", "secrets/storage.hex")
GIVEN = ("MESH_ROOT",)
MAX_REQUEST = 4096


def main() -> None:
    session = bytes.fromhex(Path("secrets/session.hex").read_text())
    report = received()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        publish("BACKEND_PORT_FILE", str(listener.getsockname()[1]))
        publish("DEMO_REPORT", json.dumps(report))
        context = server_context()
        while True:
            connection, _ = listener.accept()
            connection.settimeout(10)
            try:
                with context.wrap_socket(connection, server_side=True) as peer:
                    report["caller"] = name_of(peer)
                    answer(peer, session)
            except OSError as error:  # a stranger without the mesh's certificate, or a slow one
                print(f"backend: refused a connection: {error}", file=sys.stderr, flush=True)
                continue
            publish("DEMO_REPORT", json.dumps(report))


def answer(peer: ssl.SSLSocket, session: bytes) -> None:
    with peer.makefile("rb") as lines:
        greeting, _, proof = lines.readline(MAX_REQUEST).decode().strip().rpartition(" ")
    expected = hmac.new(session, greeting.encode(), hashlib.sha256).hexdigest()
    known = hmac.compare_digest(expected, proof)
    peer.sendall(f"{greeting} from backend {BUILD}\n".encode() if known else b"who are you?\n")


def received() -> dict:
    environment = [name for name in os.environ if name in GIVEN or name.startswith("MARBLE_PREDEFINED_")]
    return {
        "marble": "backend",
        "build": BUILD,
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
