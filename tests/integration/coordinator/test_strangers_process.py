"""What strangers on the REST port and a hostile host try with a real process, and what others feel of it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.fakes import shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
HEAD = b"POST /api/v2/gitops/update HTTP/1.1\r\nHost: a\r\n"


def test_slow_senders_hold_up_nobody(coordinator: CoordinatorProcess) -> None:
    """Forty bodies that never end, some of them large, and an update is decided at once beside them."""
    first = _genesis(coordinator)
    with ExitStack() as stack:
        for number in range(40):
            connection = stack.enter_context(_connect(coordinator))
            sent = b" " * (12 * MIB if number < 6 else 10)
            connection.sendall(HEAD + b"Content-Length: 13000000\r\n\r\n" + sent)
        time.sleep(2.5)  # the bucket of calls fills again
        started = time.monotonic()
        assert coordinator.update(first, ()).data["outcome"] == "unchanged"
        assert time.monotonic() - started < 5


def test_many_values_cost_no_memory(coordinator: CoordinatorProcess) -> None:
    """A body of millions of empty objects is refused before they exist."""
    _genesis(coordinator)
    body = b'{"manifest":"e30=","evidence":[' + b"{}," * (4 * MIB) + b"{}]}"
    answer = coordinator.ask("POST", "/api/v2/gitops/update", body)
    assert (answer.status, answer.json["message"]) == (
        400,
        "bad request: the body has more values than any call",
    )
    assert _peak_memory(coordinator) < 300 * MIB


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\n\x78\x9c\x03\x00",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        HEAD + b"Content-Length: -2\r\n\r\n{}",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/v2/status HTTP/1.1\r\nHost: a\r\n" + b"X-Y: z\r\n" * 20_000 + b"\r\n",
    ],
)
def test_odd_requests_are_the_senders_fault(coordinator: CoordinatorProcess, request_bytes: bytes) -> None:
    """Compressed, smuggled, endless or broken requests are 400, never internal errors; the rest goes on."""
    _genesis(coordinator)
    with _connect(coordinator) as connection:
        connection.sendall(request_bytes)
        assert b" 400 " in connection.recv(65_536).partition(b"\r\n")[0]
    assert coordinator.get("status").status == 200
    assert "incident" not in coordinator.log


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nhunter2-canary",  # a marble that calls the wrong port
        HEAD + b'Content-Length: 13\r\n{"token": {"Key": "hunter2-canary"}}\r\n\r\n',
        HEAD + b"hunter2-canary\0: x\r\n\r\n",
    ],
)
def test_what_is_sent_badly_is_not_in_the_log(coordinator: CoordinatorProcess, request_bytes: bytes) -> None:
    """The library's errors quote the request, which may hold a secret: the log tells their kind alone."""
    coordinator.start()
    with _connect(coordinator) as connection:
        connection.sendall(request_bytes)
        connection.settimeout(5)
        while connection.recv(4096):
            pass
    assert "hunter2-canary" not in coordinator.log
    assert "Traceback" not in coordinator.log
    assert "Error handling request from 127.0.0.1: Bad" in coordinator.log


def test_a_link_in_place_of_the_ready_file(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    """The ready file replaces a link and leaves alone what it led to; state is opened through none."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "state.db").symlink_to(victim)
    assert coordinator.launch().wait(timeout=20) == 1
    (tmp_path / "sealed" / "state.db").unlink()
    process = coordinator.launch()
    (tmp_path / f".ready.json.{process.pid}").symlink_to(victim)
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready.json").exists():
        assert time.monotonic() < deadline, coordinator.log
        time.sleep(0.01)
    assert json.loads((tmp_path / "ready.json").read_text())["pid"] == process.pid
    assert (tmp_path / "ready.json").stat().st_mode & 0o777 == 0o644
    assert victim.read_text() == "mine"


def test_start_up_manifests_are_no_side_door(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    """One with GitOps, however it is spelled, stops the start; a plain one is set once, then state wins."""
    file = tmp_path / "manifest.json"
    coordinator.environ["EDG_STARTUP_MANIFEST"] = str(file)
    for raw in (shop.manifest(), shop.manifest().replace(b'"GitOps"', b'"gITOPS"')):
        file.write_bytes(raw)
        assert coordinator.launch().wait(timeout=20) == 1
    assert "gitops/update with signed approvals" in coordinator.log
    assert "did you mean 'GitOps'?" in coordinator.log
    file.write_bytes(shop.plain_manifest())
    coordinator.start()
    assert coordinator.get("status").data["code"] == 3
    set_once = coordinator.get("manifest").data
    coordinator.kill()
    coordinator.start()
    assert "startup_manifest_ignored" not in coordinator.log
    coordinator.kill()
    file.write_bytes(shop.plain_manifest().replace(b"hello", b"other"))
    coordinator.start()
    assert coordinator.get("manifest").data == set_once
    assert "startup_manifest_ignored" in coordinator.log


def _genesis(coordinator: CoordinatorProcess) -> bytes:
    coordinator.start()
    first = shop.manifest()
    assert coordinator.update(first, shop.genesis_evidence(first)).status == 200
    return first


def _connect(coordinator: CoordinatorProcess) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", coordinator.client_port), timeout=10))


def _peak_memory(coordinator: CoordinatorProcess) -> int:
    assert coordinator.process is not None
    with open(f"/proc/{coordinator.process.pid}/status", encoding="ascii") as status:  # noqa: PTH123
        peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
