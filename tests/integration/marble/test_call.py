"""The marble's one gRPC call against servers that are none, or mean harm."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest

from marbleops.marble import call
from marbleops.marble.call import CallError, CallRefused, call_unary
from marbleops.marble.identity import make_identity, now
from marbleops.wire.connection import Address
from tests.integration.edge.test_wire_client import hostile

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

Headers = list[tuple[str, str]]
OK: Headers = [(":status", "200"), ("content-type", "application/grpc")]


def ask(port: int) -> bytes:
    identity = make_identity(("localhost",), at=now())
    return call_unary(
        Address(host="127.0.0.1", port=port), identity, method="/rpc.Marble/Activate", request=b"x" * 100_000
    ).message


def answering(
    head: Headers, body: bytes = b"", trailers: Headers | None = None
) -> Callable[[ssl.SSLSocket], None]:
    """Return a server that reads the whole request and answers so."""

    def behave(tls: ssl.SSLSocket) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        ended = False
        while not ended:
            tls.sendall(peer.data_to_send())
            for event in peer.receive_data(tls.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                ended |= isinstance(event, h2.events.StreamEnded)
        peer.send_headers(1, head, end_stream=not body and trailers is None)
        rest = body
        while rest:
            room = min(peer.local_flow_control_window(1), 16_384)
            peer.send_data(1, rest[:room])
            rest = rest[room:]
            tls.sendall(peer.data_to_send())
            while rest and peer.local_flow_control_window(1) == 0:
                peer.receive_data(tls.recv(65536))
        if trailers is not None:
            peer.send_headers(1, trailers, end_stream=True)
        tls.sendall(peer.data_to_send())
        with contextlib.suppress(OSError):
            tls.recv(1)

    return behave


def drip(tls: ssl.SSLSocket) -> None:
    for byte in bytes(200):
        tls.sendall(bytes([byte]))
        time.sleep(0.05)


def test_an_answer_comes_whole(tmp_path: Path) -> None:
    """A request beyond the first window is sent, and the message of the answer is returned."""
    body = b"\0" + (300_000).to_bytes(4, "big") + b"y" * 300_000
    with hostile(tmp_path, answering(OK, body, [("grpc-status", "0")])) as port:
        assert ask(port) == b"y" * 300_000


def test_a_refusal_is_told_in_words(tmp_path: Path) -> None:
    """Status and message come from trailers or from the only headers; the message is percent-decoded."""
    status = [("grpc-status", "7"), ("grpc-message", "no%20more %C3%BC")]
    for behave in (answering([*OK, *status]), answering(OK, b"", status)):
        with hostile(tmp_path, behave) as port, pytest.raises(CallRefused) as caught:
            ask(port)
        assert (caught.value.code, caught.value.message) == ("PERMISSION_DENIED", "no more ü")


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (answering([(":status", "404")]), "no gRPC status .HTTP status 404"),
        (answering(OK, b"\0\0\0\0\x02x", [("grpc-status", "0")]), "not one whole"),
        (answering(OK, b"\1\0\0\0\x01x", [("grpc-status", "0")]), "not one whole"),
        (answering(OK, b"", [("grpc-status", "0")]), "not one whole"),
        (answering(OK, b"", [("grpc-status", "٣")]), "no gRPC status"),
        (answering(OK, bytes(5 * 1024 * 1024), [("grpc-status", "0")]), "larger than 4194304 bytes"),
        (lambda tls: tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100)), "."),
        (lambda tls: tls.close(), "."),
    ],
)
def test_what_is_no_answer(tmp_path: Path, behave: Callable[[ssl.SSLSocket], None], words: str) -> None:
    """Anything but one whole message or a status ends the call, and says why."""
    with hostile(tmp_path, behave) as port, pytest.raises(CallError, match=words):
        ask(port)


def test_one_deadline_for_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drips ends with the call's time, however often it sends a byte."""
    monkeypatch.setattr(call, "CALL_SECONDS", 0.4)
    with hostile(tmp_path, drip) as port:
        started = time.monotonic()
        with pytest.raises(CallError):
            ask(port)
        assert time.monotonic() - started < 5
