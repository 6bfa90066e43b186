"""The marble port as stock clients and hostile ones see it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest

from coordinator.api.grpc import Code, GrpcError, GrpcLimits, marble_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

PATH = "/rpc.Marble/Activate"


async def echo(request: bytes, certificates: tuple[bytes, ...]) -> bytes:
    if request == b"refuse":
        raise GrpcError(Code.PERMISSION_DENIED, "marble verification failed: 100% “no”\n")
    if request == b"busy":
        raise GrpcError(Code.UNAVAILABLE, "busy", retry_after=1.5)
    if request == b"crash":
        raise RuntimeError("a secret")
    if request.startswith(b"size "):
        return bytes(int(request[5:]))
    return hashlib.sha256(certificates[0]).digest() + request


@contextlib.contextmanager
def channel(edge: Any, client: Any) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        edge.credential.certificate_pem, client.key_pem, client.certificate_pem
    )
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(f"127.0.0.1:{edge.port}", credentials, options) as opened:
        yield opened


def call(opened: grpc.Channel, request: bytes, *, path: str = PATH, timeout: float = 10) -> bytes:
    method: Any = opened.unary_unary(path)
    answer = method(request, timeout=timeout)
    assert isinstance(answer, bytes)
    return answer


@pytest.fixture
def marble_port(serve: Any) -> Iterator[Any]:
    with serve(marble_protocol(echo, GrpcLimits()), require=True, alpn=(b"h2",)) as edge:
        yield edge


def test_grpcio_gets_an_answer_bound_to_its_certificate(marble_port: Any, client_credential: Any) -> None:
    """A stock client makes several calls on one channel; the handler sees its certificate."""
    with channel(marble_port, client_credential) as opened:
        for request in (b"", b"hello", bytes(500_000)):
            assert call(opened, request) == hashlib.sha256(client_credential.der).digest() + request


def test_grpcio_reads_a_large_answer(marble_port: Any, client_credential: Any) -> None:
    """An answer many times larger than the flow-control windows arrives whole."""
    with channel(marble_port, client_credential) as opened:
        assert len(call(opened, b"size 4000000")) == 4_000_000


def test_grpcio_calls_in_parallel_are_served_one_after_the_other(
    marble_port: Any, client_credential: Any
) -> None:
    """One open stream is the limit, and a stock client obeys it instead of failing."""
    with channel(marble_port, client_credential) as opened:
        method: Any = opened.unary_unary(PATH)
        futures = [method.future(bytes([n]), timeout=10) for n in range(8)]
        assert [future.result()[-1] for future in futures] == list(range(8))


REFUSALS: dict[str, tuple[bytes, str, Any, str]] = {
    "words": (
        b"refuse",
        PATH,
        grpc.StatusCode.PERMISSION_DENIED,
        "marble verification failed: 100% “no”\n",
    ),
    "method": (b"x", "/rpc.Marble/Other", grpc.StatusCode.UNIMPLEMENTED, "unknown service or method"),
    "large": (bytes(1024 * 1024 + 1), PATH, grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 1048576"),
    "answer": (b"size 4194305", PATH, grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_reach_grpcio_with_code_and_words(
    marble_port: Any, client_credential: Any, case: str
) -> None:
    """A refusal arrives as status and message, whatever characters it holds; the channel stays usable."""
    request, path, code, words = REFUSALS[case]
    with channel(marble_port, client_credential) as opened:
        with pytest.raises(grpc.RpcError) as caught:
            call(opened, request, path=path)
        failed: Any = caught.value
        assert failed.code() == code
        assert words in failed.details()
        assert call(opened, b"after").endswith(b"after")


def test_a_refusal_may_say_when_to_come_back(marble_port: Any, client_credential: Any) -> None:
    """Clients with a retry policy read it from the trailers."""
    with channel(marble_port, client_credential) as opened, pytest.raises(grpc.RpcError) as raised:
        call(opened, b"busy")
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert ("grpc-retry-pushback-ms", "1500") in error.trailing_metadata()


def test_compressed_messages_are_refused(marble_port: Any, client_credential: Any) -> None:
    """A compressed message is UNIMPLEMENTED, as the protocol says for an unknown encoding."""
    with channel(marble_port, client_credential) as opened:
        method: Any = opened.unary_unary(PATH)
        with pytest.raises(grpc.RpcError) as caught:
            method(bytes(5000), timeout=10, compression=grpc.Compression.Gzip)
    failed: Any = caught.value
    assert failed.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_error_shows_no_text(serve: Any, client_credential: Any) -> None:
    """What a handler did not foresee becomes INTERNAL without its text, and is told to the loop."""
    with serve(marble_protocol(echo, GrpcLimits()), require=True, alpn=(b"h2",)) as edge:
        with channel(edge, client_credential) as opened, pytest.raises(grpc.RpcError) as caught:
            call(opened, b"crash")
        failed: Any = caught.value
        assert (failed.code(), failed.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        assert [str(problem["exception"]) for problem in edge.loop.problems] == ["a secret"]
        edge.loop.problems.clear()


def test_the_servers_deadline_ends_a_call(serve: Any, client_credential: Any) -> None:
    """A handler that takes too long is cancelled and the client is told."""
    cancelled = threading.Event()

    async def slow(request: bytes, certificates: tuple[bytes, ...]) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    with (
        serve(marble_protocol(slow, GrpcLimits(call_seconds=0.2)), require=True, alpn=(b"h2",)) as edge,
        channel(edge, client_credential) as opened,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(opened, b"x")
        failed: Any = caught.value
        assert failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert cancelled.wait(5)


def test_a_client_that_goes_away_cancels_its_call(serve: Any, client_credential: Any) -> None:
    """A client's own deadline resets the stream; the handler does not go on for nobody."""
    cancelled = threading.Event()

    async def slow(request: bytes, certificates: tuple[bytes, ...]) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    with (
        serve(marble_protocol(slow, GrpcLimits()), require=True, alpn=(b"h2",)) as edge,
        channel(edge, client_credential) as opened,
    ):
        with pytest.raises(grpc.RpcError):
            call(opened, b"x", timeout=0.2)
        assert cancelled.wait(5)


class RawClient:
    """An HTTP/2 client that can misbehave."""

    def __init__(self, edge: Any, client: Any, tmp_path: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        certificate, key = client.files(tmp_path, "raw")
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", edge.port), 10))
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def headers(self, stream: int, *extra: tuple[str, str], **pseudo: str) -> None:
        given = {"method": "POST", "path": PATH, "scheme": "https", "authority": "x"} | pseudo
        named = [(f":{name}", value) for name, value in given.items()]
        extra = extra or (("content-type", "application/grpc"), ("te", "trailers"))
        self.h2.send_headers(stream, [*named, *extra])
        self.flush()

    def until(self, *wanted: type) -> list[Any]:
        """Read until an event of one of *wanted* types, or the end of the connection."""
        seen: list[Any] = []
        while True:
            try:
                data = self.socket.recv(65536)
            except ssl.SSLZeroReturnError:
                data = b""
            if not data:
                return seen
            seen += self.h2.receive_data(data)
            self.flush()
            if any(isinstance(event, wanted) for event in seen):
                return seen


def last_headers(events: list[Any]) -> dict[str, str]:
    kinds = (h2.events.ResponseReceived, h2.events.TrailersReceived)
    found: dict[str, str] = {}
    for event in events:
        if isinstance(event, kinds):
            found |= {str(name): str(value) for name, value in event.headers or ()}
    return found


def terminations(events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, h2.events.ConnectionTerminated)]


@pytest.fixture
def raw(marble_port: Any, client_credential: Any, tmp_path: Path) -> Iterator[RawClient]:
    with RawClient(marble_port, client_credential, tmp_path) as client:
        yield client


@pytest.mark.parametrize(
    ("extra", "pseudo", "status"),
    [
        ([("content-type", "application/json")], {}, "415"),
        ([("te", "trailers")], {}, "415"),
        ([("content-type", "application/grpcx")], {}, "415"),
        ([("content-type", "application/grpc")], {"method": "GET"}, "405"),
    ],
)
def test_other_http_is_answered_in_http(
    raw: RawClient, extra: list[tuple[str, str]], pseudo: dict[str, str], status: str
) -> None:
    """What is not gRPC gets an HTTP status, as the protocol asks."""
    raw.headers(1, *extra, **pseudo)
    assert last_headers(raw.until(h2.events.StreamEnded))[":status"] == status


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.INTERNAL),
        (b"\0\0\0", Code.INTERNAL),
        (b"\0\0\0\0\5four", Code.INTERNAL),
        (b"\0\0\0\0\1a\0\0\0\0\1b", Code.INTERNAL),
        (b"\1\0\0\0\1a", Code.INTERNAL),
        (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_body_that_is_not_one_message_is_refused(raw: RawClient, body: bytes, code: Code) -> None:
    """Missing, short, double, oversized and compressed messages end the call with a status."""
    raw.headers(1)
    raw.h2.send_data(1, body, end_stream=True)
    raw.flush()
    found = last_headers(raw.until(h2.events.StreamEnded))
    assert (found[":status"], found["grpc-status"]) == ("200", str(int(code)))


def test_a_bad_timeout_is_refused(raw: RawClient) -> None:
    """A grpc-timeout outside the grammar ends the call with INTERNAL."""
    raw.headers(1, ("content-type", "application/grpc+proto"), ("grpc-timeout", "5 seconds"))
    found = last_headers(raw.until(h2.events.StreamEnded))
    assert (found["grpc-status"], found["grpc-message"]) == ("13", "malformed grpc-timeout")


def test_a_client_that_leaves_while_it_is_served_is_let_go(raw: RawClient) -> None:
    """GOAWAY behind the request ends the connection when the call ends, not after the idle time."""
    raw.headers(1)
    raw.h2.send_data(1, b"\0\0\0\0\x01x", end_stream=True)
    raw.h2.close_connection()
    raw.flush()
    raw.socket.settimeout(5)
    while raw.socket.recv(65536):
        pass


def test_a_second_stream_is_refused_and_the_first_goes_on(raw: RawClient) -> None:
    """Two streams at once: the second is refused in the way clients retry, the first is answered."""
    raw.headers(1)
    raw.headers(3)
    events = raw.until(h2.events.StreamReset)
    (reset,) = [event for event in events if isinstance(event, h2.events.StreamReset)]
    assert (reset.stream_id, reset.error_code) == (3, h2.errors.ErrorCodes.REFUSED_STREAM)
    raw.h2.send_data(1, b"\0\0\0\0\0", end_stream=True)
    raw.flush()
    assert last_headers(raw.until(h2.events.StreamEnded))["grpc-status"] == "0"


def test_a_flood_of_frames_ends_the_connection(raw: RawClient) -> None:
    """Pings, and streams opened and reset at once, spend the budget; then the connection ends."""
    for number in range(600):
        raw.h2.send_headers(
            2 * number + 1, [(":method", "POST"), (":path", PATH), (":scheme", "https"), (":authority", "x")]
        )
        raw.h2.reset_stream(2 * number + 1)
        raw.h2.ping(b"12345678")
        raw.h2.ping(b"12345678")
    raw.flush()
    (end,) = terminations(raw.until(h2.events.ConnectionTerminated))
    assert end.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def test_large_headers_end_the_connection(raw: RawClient) -> None:
    """More than 16 KiB of headers are not decoded."""
    raw.headers(1, ("content-type", "application/grpc"), *((f"x-{n}", "y" * 1000) for n in range(20)))
    assert terminations(raw.until(h2.events.ConnectionTerminated))


def test_bytes_beyond_the_budget_end_the_connection(
    serve: Any, client_credential: Any, tmp_path: Path
) -> None:
    """The connection's bytes are limited over all its calls."""
    limits = GrpcLimits(connection_bytes=40_000)
    with (
        serve(marble_protocol(echo, limits), require=True, alpn=(b"h2",)) as edge,
        RawClient(edge, client_credential, tmp_path) as client,
    ):
        client.headers(1)
        client.h2.send_data(1, b"\0\0\1\0\0")
        for _ in range(3):
            client.h2.send_data(1, bytes(16_000))
        client.flush()
        (end,) = terminations(client.until(h2.events.ConnectionTerminated))
        assert end.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def test_http1_on_the_marble_port_is_closed(marble_port: Any, client_credential: Any, tmp_path: Path) -> None:
    """A client that speaks HTTP/1.1 here gets a GOAWAY and the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*client_credential.files(tmp_path, "http1"))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", marble_port.port), 10)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    assert received[:9].startswith(b"\0\0")
