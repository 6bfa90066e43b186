"""The share of the places that one source may take, and what waits, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from coordinator.api.listener import Listener, ListenLimits, listening_socket
from tests.integration.edge.harness import Loop

pytestmark = pytest.mark.integration

LIMITS = ListenLimits(connections=4, connections_per_source=3, parked=2)


class Greeter(asyncio.Protocol):
    """Says hello, and gives its place back when the client leaves."""

    def __init__(self, give_back: Any) -> None:
        self._give_back = give_back

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_back()


@pytest.fixture
def port() -> Any:
    loop = Loop()
    listening = listening_socket("127.0.0.1", 0)

    async def start() -> Listener:
        return Listener(listening, LIMITS, Greeter)

    async def end(listener: Listener) -> None:
        listener.close()
        await listener.wait_closed()

    number = listening.getsockname()[1]
    listener = loop.run(start())
    yield number
    loop.run(end(listener))
    loop.stop()
    assert loop.problems == []


def greeted(client: socket.socket, seconds: float) -> bytes | None:
    """Return what arrives within *seconds*: a greeting, b"" for a closed connection, None for nothing."""
    client.settimeout(seconds)
    try:
        return client.recv(5)
    except TimeoutError:
        return None
    except ConnectionResetError:
        return b""


def test_one_source_has_a_share_and_the_rest_is_everybody_elses(port: int) -> None:
    """Its part is served, then some wait, then the next are closed; another source still gets in."""
    with contextlib.ExitStack() as stack:

        def connect(source: str) -> socket.socket:
            client = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
            return stack.enter_context(client)

        served = [connect("127.0.0.1") for _ in range(3)]
        assert [greeted(one, 10) for one in served] == [b"hello"] * 3
        parked = [connect("127.0.0.1") for _ in range(2)]
        assert greeted(connect("127.0.0.1"), 10) == b""
        assert [greeted(one, 0.1) for one in parked] == [None, None]
        other = connect("127.0.0.2")
        assert greeted(other, 10) == b"hello"
        served[1].close()
        assert greeted(parked[0], 10) == b"hello"
        assert greeted(parked[1], 0.1) is None
        parked[0].close()
        assert greeted(parked[1], 10) == b"hello"


def test_what_comes_when_all_places_are_taken_waits_in_the_kernel(port: int) -> None:
    """Nobody is turned away for that; the place that becomes free goes to the one who waits."""
    with contextlib.ExitStack() as stack:

        def connect(source: str) -> socket.socket:
            client = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
            return stack.enter_context(client)

        served = [connect(f"127.0.0.{number}") for number in range(1, 5)]
        assert [greeted(one, 10) for one in served] == [b"hello"] * 4
        late = connect("127.0.0.9")
        assert greeted(late, 0.1) is None
        served[0].close()
        assert greeted(late, 10) == b"hello"


def test_places_are_given_back_whatever_the_order(port: int) -> None:
    """Many come and go from several sources at once; afterwards every place is free again."""
    for _ in range(20):
        clients = [
            socket.create_connection(("127.0.0.1", port), 10, source_address=(f"127.0.0.{n % 3 + 1}", 0))
            for n in range(9)
        ]
        for client in clients:
            client.close()
    for _ in range(50):
        clients = [
            socket.create_connection(("127.0.0.1", port), 10, source_address=(f"127.0.0.{n}", 0))
            for n in range(1, 5)
        ]
        answers = [greeted(client, 0.2) for client in clients]
        for client in clients:
            client.close()
        if answers == [b"hello"] * 4:
            return
    pytest.fail("not every place came back")
