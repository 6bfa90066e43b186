"""A unary gRPC server for one method, over h2, as small as the marble port needs.

It speaks gRPC over HTTP/2 to stock clients (grpc-go, grpcio) and spends little on strangers: one open stream,
a bounded message, and a budget of frames and bytes for the life of a connection, since anyone who can make a
self-signed certificate may connect (architecture.md, decision 5).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes

if TYPE_CHECKING:
    from asyncio.transports import BaseTransport

Handler = Callable[[bytes, tuple[bytes, ...]], Awaitable[bytes]]
"""Takes the request message and the client's certificates (DER, leaf first), gives the response message."""

ACTIVATE_PATH = "/rpc.Marble/Activate"
_PREFACE_BYTES = 24
_FRAME_HEADER_BYTES = 9
_MESSAGE_HEADER_BYTES = 5
_TOLERATED_STREAMS = 16
_STATUS_MESSAGE_CHARACTERS = 4096
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_TIMEOUT_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?(;.*)?", re.ASCII | re.DOTALL)


class Code(IntEnum):
    """The gRPC status codes that the marble port uses."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class GrpcError(Exception):
    """A call that is answered with a status other than OK; *message* is shown to the client.

    *retry_after* (seconds) tells clients with a retry policy when to come again.
    """

    def __init__(self, code: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """What one connection may cost. A marble makes one call; a channel adds settings, pings and windows."""

    message_bytes: int = 1024 * 1024
    response_bytes: int = 4 * 1024 * 1024
    """What grpc-go and grpcio accept without being asked for more."""
    header_bytes: int = 16 * 1024
    connection_frames: int = 2_000
    connection_bytes: int = 8 * 1024 * 1024
    call_seconds: float = 30.0
    """A call's longest life from its headers to its trailers; a shorter ``grpc-timeout`` is obeyed."""


def marble_protocol(handler: Handler, limits: GrpcLimits) -> Callable[[], asyncio.Protocol]:
    """Return the factory of inner protocols for ``tls.serve`` that answer ``/rpc.Marble/Activate``.

    The handler raises :class:`GrpcError` to refuse. It is cancelled when the client resets the stream or goes
    away, and when the deadline passes, so what it commits must be one step.
    """
    return lambda: _Connection(handler, limits)


def finish_marble(protocol: asyncio.Protocol) -> None:
    """Let the connection of a marble end after its running call."""
    assert isinstance(protocol, _Connection)
    protocol.finish()


def percent_encode(message: str) -> str:
    """Encode a status message for ``grpc-message``: printable ASCII but ``%`` stays, other bytes are %XX."""
    shown = message[:_STATUS_MESSAGE_CHARACTERS].encode("utf-8", "replace")
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in shown)


def parse_timeout(text: str) -> float:
    """Read a ``grpc-timeout`` in seconds.

    Raises:
        GrpcError: it is not up to eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise GrpcError(Code.INTERNAL, "malformed grpc-timeout")
    return int(match.group(1)) * _TIMEOUT_UNITS[match.group(2)]


class FrameBudget:
    """Counts what the peer sends, frame by frame, before the HTTP/2 library sees it.

    h2 reports no event for some frames (CONTINUATION, those of closed streams), so bytes are counted here.
    """

    def __init__(self, *, frames: int, octets: int) -> None:
        self._frames = frames
        self._octets = octets
        self._skip = _PREFACE_BYTES
        self._header = b""

    def spend(self, received: bytes) -> bool:
        """Account for *received*; say whether the budget still holds."""
        self._octets -= len(received)
        position = 0
        while position < len(received) and self._frames >= 0 <= self._octets:
            skipped = min(self._skip, len(received) - position)
            self._skip -= skipped
            position += skipped
            wanted = _FRAME_HEADER_BYTES - len(self._header)
            part = received[position : position + wanted]
            position += len(part)
            self._header += part
            if len(self._header) == _FRAME_HEADER_BYTES:
                self._skip = int.from_bytes(self._header[:3])
                self._header = b""
                self._frames -= 1
        return self._frames >= 0 <= self._octets


@dataclass(slots=True)
class _Call:
    """The one open stream."""

    stream: int
    deadline: float
    refused: GrpcError | None = None
    compressed_name: str = "identity"
    body: bytearray = field(default_factory=bytearray)
    headers_sent: bool = False
    ended: bool = False
    answered: bool = False
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None


class _Connection(asyncio.Protocol):
    """One HTTP/2 connection on a TLS transport."""

    def __init__(self, handler: Handler, limits: GrpcLimits) -> None:
        self._handler = handler
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._budget = FrameBudget(frames=limits.connection_frames, octets=limits.connection_bytes)
        self._call: _Call | None = None
        self._closing_after_call = False
        self._writing_paused = False
        self._writable = asyncio.Event()
        # What we send is well-formed; only what strangers send is worth checking.
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config=config)
        self._h2.decoder.max_header_list_size = limits.header_bytes

    def connection_made(self, transport: BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # One stream is announced; further ones are refused in the way clients retry. A client may send some
        # before it knows, so h2 itself ends the connection only at the tolerated number.
        self._h2.local_settings = self._settings(streams=1)
        self._h2.initiate_connection()
        self._h2.local_settings = self._settings(streams=_TOLERATED_STREAMS)
        self._loop.call_soon(self._flush)  # most often the request is here already: one segment, not three

    def data_received(self, data: bytes) -> None:
        if not self._budget.spend(data):
            self._end(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            return
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 has written GOAWAY with the reason
            self._transport.close()
            return
        self._flush()
        if self._closing_after_call and self._call is None:
            self._transport.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._drop_call()

    def pause_writing(self) -> None:
        # The client does not read: what it sends (pings, say) would only make us write more.
        self._writing_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._transport.resume_reading()
        self._writable.set()

    def finish(self) -> None:
        """End after the running call; at once where there is none."""
        self._closing_after_call = True
        if self._call is None:
            self._end(h2.errors.ErrorCodes.NO_ERROR)

    def _settings(self, *, streams: int) -> h2.settings.Settings:
        values = {
            SettingCodes.MAX_CONCURRENT_STREAMS: streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.header_bytes,
        }
        return h2.settings.Settings(client=False, initial_values=values)

    # Events.

    def _on_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._on_request(event.stream_id, _text(event.headers))
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._on_data(event.stream_id, event.data)
            case h2.events.StreamEnded():
                self._on_end(event.stream_id)
            case h2.events.StreamReset():
                if self._call is not None and self._call.stream == event.stream_id:
                    self._drop_call()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._writable.set()
            case h2.events.ConnectionTerminated():
                self._closing_after_call = True
            case _:
                pass

    def _on_request(self, stream: int, headers: dict[str, str]) -> None:
        if self._call is not None or self._closing_after_call:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._call = call = _Call(stream, self._loop.time() + self._limits.call_seconds)
        if headers.get(":method") != "POST":
            self._answer_http(call, 405)
            return
        if _CONTENT_TYPE.fullmatch(headers.get("content-type", "")) is None:
            self._answer_http(call, 415)
            return
        call.compressed_name = headers.get("grpc-encoding", "identity")
        try:
            if headers.get(":path") != ACTIVATE_PATH:
                raise GrpcError(Code.UNIMPLEMENTED, "unknown service or method")
            if "grpc-timeout" in headers:
                asked = self._loop.time() + parse_timeout(headers["grpc-timeout"])
                call.deadline = min(call.deadline, asked)
        except GrpcError as refusal:
            self._answer(call, refusal)
            return
        call.timer = self._loop.call_at(call.deadline, self._on_deadline, call)

    def _on_data(self, stream: int, chunk: bytes) -> None:
        call = self._call
        if call is None or call.stream != stream or call.answered:
            return
        call.body += chunk
        if len(call.body) < _MESSAGE_HEADER_BYTES:
            return
        length = int.from_bytes(call.body[1:_MESSAGE_HEADER_BYTES])
        if call.body[0] != 0:
            known = call.compressed_name == "identity"
            code = Code.INTERNAL if known else Code.UNIMPLEMENTED
            self._answer(call, GrpcError(code, "compressed messages are not supported"))
        elif length > self._limits.message_bytes:
            words = f"the message has {length} bytes, at most {self._limits.message_bytes} are accepted"
            self._answer(call, GrpcError(Code.RESOURCE_EXHAUSTED, words))
        elif len(call.body) > _MESSAGE_HEADER_BYTES + length:
            self._answer(call, GrpcError(Code.INTERNAL, "more than one message in a unary call"))

    def _on_end(self, stream: int) -> None:
        call = self._call
        if call is None or call.stream != stream:
            return
        call.ended = True
        if call.answered:
            self._drop_call()
            return
        whole = len(call.body) >= _MESSAGE_HEADER_BYTES
        if not whole or len(call.body) != _MESSAGE_HEADER_BYTES + int.from_bytes(call.body[1:5]):
            self._answer(call, GrpcError(Code.INTERNAL, "the request is not one whole message"))
            return
        call.task = self._loop.create_task(self._serve(call))

    def _on_deadline(self, call: _Call) -> None:
        if self._call is call and not call.answered:
            if call.task is not None:
                call.task.cancel()
            self._answer(call, GrpcError(Code.DEADLINE_EXCEEDED, "deadline exceeded"))
            self._flush()

    # Answers.

    async def _serve(self, call: _Call) -> None:
        request = bytes(call.body[_MESSAGE_HEADER_BYTES:])
        call.body.clear()
        try:
            response = await self._handler(request, self._transport.get_extra_info("peer_certificates", ()))
            if len(response) > self._limits.response_bytes:
                raise GrpcError(Code.RESOURCE_EXHAUSTED, "the answer is too large for a gRPC message")
        except GrpcError as refusal:
            self._answer(call, refusal)
        except Exception as error:  # noqa: BLE001  the outermost loop of a call: told to the loop, not to the client
            self._loop.call_exception_handler({"message": "marble call failed", "exception": error})
            self._answer(call, GrpcError(Code.INTERNAL, "internal error"))
        else:
            with contextlib.suppress(h2.exceptions.ProtocolError):  # the client said GOAWAY meanwhile
                await self._send(call, response)
        self._flush()
        if self._closing_after_call:
            self._transport.close()

    async def _send(self, call: _Call, response: bytes) -> None:
        self._h2.send_headers(call.stream, [(":status", "200"), *_CONTENT_HEADERS])
        call.headers_sent = True
        rest = memoryview(b"\0" + len(response).to_bytes(4) + response)
        while rest:
            room = min(self._h2.local_flow_control_window(call.stream), self._h2.max_outbound_frame_size)
            if room <= 0 or self._writing_paused:
                self._flush()
                self._writable.clear()
                await self._writable.wait()
                continue
            self._h2.send_data(call.stream, bytes(rest[:room]))
            rest = rest[room:]
            if rest:
                self._flush()
        self._finish(call, [("grpc-status", "0")])

    def _answer(self, call: _Call, refusal: GrpcError) -> None:
        trailers = [
            ("grpc-status", str(int(refusal.code))),
            ("grpc-message", percent_encode(refusal.message)),
        ]
        if refusal.retry_after is not None:
            trailers.append(("grpc-retry-pushback-ms", str(int(refusal.retry_after * 1000))))
        head = [] if call.headers_sent else [(":status", "200"), *_CONTENT_HEADERS]
        self._finish(call, [*head, *trailers])

    def _answer_http(self, call: _Call, status: int) -> None:
        self._finish(call, [(":status", str(status)), ("content-length", "0")])

    def _finish(self, call: _Call, last: list[tuple[str, str]]) -> None:
        call.answered = True
        # h2 reads a whole batch of frames before its events are seen: the stream may be closed by now.
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.send_headers(call.stream, last, end_stream=True)
            if not call.ended:  # RFC 9113, 8.1: the answer does not depend on the rest of the request
                self._h2.reset_stream(call.stream, h2.errors.ErrorCodes.NO_ERROR)
        if self._call is call:
            self._call = None
        if call.timer is not None:
            call.timer.cancel()

    def _drop_call(self) -> None:
        call, self._call = self._call, None
        if call is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        if call.task is not None:
            call.task.cancel()

    def _end(self, reason: h2.errors.ErrorCodes) -> None:
        self._h2.close_connection(reason)
        self._flush()
        self._drop_call()
        self._transport.close()

    def _flush(self) -> None:
        self._transport.write(self._h2.data_to_send())


def _text(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    """Return the headers by name; of repeated ones the last counts."""
    return {str(name): str(value) for name, value in headers}


_CONTENT_HEADERS = (("content-type", "application/grpc"), ("grpc-accept-encoding", "identity"))
