"""The operators' port of a real process: metrics, events, alive and ready; nothing else, and bounded."""

from __future__ import annotations

import json
import socket
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bench.load import activate_many, prepare
from bench.server import running_server
from coordinator.api.monitoring import MAX_CONNECTIONS
from tests.integration.edge.test_storm import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.server import Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(
        EDG_COORDINATOR_PROMETHEUS_ADDR="127.0.0.1:0", EDG_COORDINATOR_METRICS_UUID="1"
    ) as started:
        yield started


def port_of(server: Server) -> int:
    assert server.monitoring is not None
    return server.monitoring


def test_activations_are_counted_and_told(server: Server) -> None:
    """Before the first the events are null; then newest last, and the UUID is a label where asked for."""
    port, own = port_of(server), str(uuid.uuid4())
    assert read(port, "/events") == (200, "null\n")
    activate_many(prepare("worker", own, server.issuer()), server.mesh, concurrency=1, count=2)
    activate_many(prepare("no such type", own, server.issuer()), server.mesh, concurrency=1, count=1)
    events = json.loads(read(port, "/events")[1])
    assert [event["activation"]["uuid"] for event in events] == [own, own]
    assert set(events[0]) == {"time", "activation"}
    assert set(events[0]["activation"]) == {"marbleType", "uuid", "quote"}
    metrics = read(port, "/metrics")[1]
    for line in (
        f'coordinator_marble_activations_total{{type="worker",uuid="{own}"}} 2.0',
        f'coordinator_marble_activations_total{{type="unknown",uuid="{own}"}} 1.0',
        f'coordinator_marble_activations_success_total{{type="worker",uuid="{own}"}} 2.0',
        "coordinator_state 3.0",
        'coordinator_version_info{commit="",version="',
        'server_client_api_http_request_total{code="200",method="post",path="/api/v2/manifest"} 1.0',
        'server_client_api_http_in_flight_requests{path="/api/v2/manifest"} 0.0',
        'grpc_server_handled_total{grpc_code="PermissionDenied",grpc_method="Activate"',
        'grpc_server_started_total{grpc_method="Activate",grpc_service="rpc.Marble",grpc_type="unary"} 3.0',
    ):
        assert line in metrics
    assert "_created" not in metrics


def test_unknown_paths_stay_405_with_metrics_on(server: Server) -> None:
    """MarbleRun breaks the connection there (A21); clients depend on the 405."""
    connection = server.connect()
    connection.request("GET", "/nothing/here")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (405, b'{"status":"error","data":null}\n')
    connection.close()
    assert "/nothing" not in read(port_of(server), "/metrics")[1]


def test_alive_ready_and_nothing_else(server: Server) -> None:
    """The four paths, GET and HEAD, one answer a connection."""
    port = port_of(server)
    assert read(port, "/healthz") == (200, "ok\n")
    assert read(port, "/readyz") == (200, "ok\n")
    assert read(port, "/api/v2/status")[0] == 404
    for request, status in (
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"nonsense", b"400"),
        (b"x" * 9000, b"400"),
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(request + b"\r\n\r\n")
            assert client.recv(100).split(b" ")[1] == status
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"HEAD /readyz HTTP/1.1\r\n\r\n")
        received = b""
        while more := client.recv(1000):
            received += more
        assert received.endswith(b"Connection: close\r\n\r\n")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\n\r\n"])
def test_probes_are_answered_while_somebody_holds_all_places(server: Server, said: bytes) -> None:
    """A liveness probe that fails ends the process: whoever asks nothing, or never closes, makes room."""
    port = port_of(server)
    with ExitStack() as stack:
        for _ in range(3 * MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)).sendall(said)
        for _ in range(MAX_CONNECTIONS):
            assert read(port, "/healthz") == (200, "ok\n")


def test_ready_only_with_a_manifest() -> None:
    """A fresh process is alive and says why it is not ready."""
    with running_server(manifest=False, EDG_COORDINATOR_PROMETHEUS_ADDR="127.0.0.1:0") as fresh:
        assert read(port_of(fresh), "/healthz") == (200, "ok\n")
        status, words = read(port_of(fresh), "/readyz")
        assert (status, words[:8]) == (503, "state 2:")
