"""One unary gRPC call on one TLS connection, and the certificate that this very connection presented.

grpcio can neither accept a certificate that no authority signed nor say which one it saw. Trusting a
certificate that was fetched before does not replace that: the marble root is an authority, and so every
marble of the mesh would be accepted in its place. Whoever calls compares the certificate with what it knows;
TLS has proved that the server holds its key. One deadline and one budget of bytes hold for everything that
the server sends.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from OpenSSL import SSL

if TYPE_CHECKING:
    from cryptography import x509

    from marbleops.marble.identity import MarbleIdentity
    from marbleops.wire.connection import Address

CONNECT_SECONDS = 10.0
CALL_SECONDS = 60.0
"""From the first byte of the handshake to the last one of the answer."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""What grpc-go and grpcio accept without being asked for more."""
MAX_RECEIVED_BYTES = 3 * MAX_ANSWER_BYTES
"""Plaintext of the whole connection, with all frames that carry no answer."""
_MAX_HEADER_BYTES = 32 * 1024
_MAX_MESSAGE_CHARACTERS = 4096
_CHUNK = 64 * 1024
_PREFIX_BYTES = 5
_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The gRPC status codes by number."""


class CallError(Exception):
    """No answer: no connection, TLS or HTTP/2 fails, too slow, too much, or not gRPC."""


class CallRefused(Exception):  # noqa: N818  a refusal is an answer, not a failure
    """An answer with a status other than OK; ``code`` is the status's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """The response message, and the certificate of the connection that brought it."""

    message: bytes = field(repr=False)
    server: x509.Certificate


def call_unary(address: Address, identity: MarbleIdentity, *, method: str, request: bytes) -> CallAnswer:
    """Call *method* with *request*, showing the identity's certificate.

    Raises:
        CallRefused: the server answers with a status other than OK.
        CallError: it does not answer as a gRPC server.
    """
    try:
        with socket.create_connection((address.host, address.port), CONNECT_SECONDS) as tcp:
            tls = _Tls(tcp, identity, deadline=time.monotonic() + CALL_SECONDS)
            server = tls.handshake()
            call = _Call(tls, authority=str(address), method=method, request=request)
            return CallAnswer(message=call.run(), server=server)
    except TimeoutError as error:
        raise CallError("no answer in time") from error
    except (OSError, SSL.Error, h2.exceptions.H2Error) as error:
        raise CallError(str(error) or type(error).__name__) from error


class _Tls:
    """TLS on a blocking socket, with one deadline for everything."""

    def __init__(self, tcp: socket.socket, identity: MarbleIdentity, *, deadline: float) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos([b"h2"])
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        self._tcp = tcp
        self._deadline = deadline
        self._left = MAX_RECEIVED_BYTES
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()

    def handshake(self) -> x509.Certificate:
        while True:
            try:
                self._tls.do_handshake()
                break
            except SSL.WantReadError:
                self._flush()
                self._fill()
        self._flush()
        presented = self._tls.get_peer_certificate(as_cryptography=True)
        if presented is None:
            raise CallError("the server presents no certificate")
        return presented

    def send(self, plaintext: bytes) -> None:
        if plaintext:
            self._tls.sendall(plaintext)
            self._flush()

    def receive(self) -> bytes:
        while True:
            try:
                plaintext = self._tls.recv(_CHUNK)
            except SSL.WantReadError:
                self._flush()
                self._fill()
                continue
            except SSL.ZeroReturnError:
                raise CallError("the server ended the connection") from None
            return plaintext

    def _flush(self) -> None:
        while True:
            try:
                pending = self._tls.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            self._tcp.settimeout(self._seconds())
            self._tcp.sendall(pending)

    def _fill(self) -> None:
        self._tcp.settimeout(self._seconds())
        received = self._tcp.recv(_CHUNK)
        self._left -= len(received)
        if not received:
            raise CallError("the server closed the connection")
        if self._left < 0:
            raise CallError(f"the server sends more than {MAX_RECEIVED_BYTES} bytes")
        self._tls.bio_write(received)

    def _seconds(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Call:
    """The one stream of one HTTP/2 connection."""

    def __init__(self, tls: _Tls, *, authority: str, method: str, request: bytes) -> None:
        self._tls = tls
        self._rest = memoryview(b"\0" + len(request).to_bytes(4, "big") + request)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._ended = False
        self._request_headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", method),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{int(CALL_SECONDS)}S"),
        ]
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._h2.decoder.max_header_list_size = _MAX_HEADER_BYTES

    def run(self) -> bytes:
        self._h2.initiate_connection()
        self._h2.send_headers(1, self._request_headers)
        while not self._ended:
            self._send_body()
            self._tls.send(self._h2.data_to_send())
            try:
                events = self._h2.receive_data(self._tls.receive())
            except UnicodeDecodeError as error:
                raise CallError("the server's headers are not text") from error
            for event in events:
                self._on_event(event)
        return self._result()

    def _send_body(self) -> None:
        while self._rest:
            room = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            self._h2.send_data(1, bytes(self._rest[:room]), end_stream=room >= len(self._rest))
            self._rest = self._rest[room:]

    def _on_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._headers |= {str(name): str(value) for name, value in event.headers}
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._body += event.data
                if len(self._body) > _PREFIX_BYTES + MAX_ANSWER_BYTES:
                    raise CallError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            case h2.events.StreamEnded():
                self._ended = True
            case h2.events.StreamReset() if "grpc-status" in self._headers:
                self._ended = True  # RFC 9113, 8.1: the rest of the request is not wanted
            case h2.events.StreamReset() | h2.events.ConnectionTerminated() if not self._ended:
                raise CallError(f"the server broke off (HTTP/2 error {event.error_code})")
            case _:
                pass

    def _result(self) -> bytes:
        status, http = self._headers.get("grpc-status", ""), self._headers.get(":status", "none")
        if not status.isascii() or not status.isdecimal() or len(status) > 2:
            raise CallError(f"the answer has no gRPC status (HTTP status {http})")
        if int(status) != 0:
            name = _NAMES[int(status)] if int(status) < len(_NAMES) else f"code {status}"
            words = unquote(self._headers.get("grpc-message", "")[:_MAX_MESSAGE_CHARACTERS])
            raise CallRefused(name, words or "no reason given")
        length = int.from_bytes(self._body[1:_PREFIX_BYTES], "big")
        if self._body[:1] != b"\0" or len(self._body) != _PREFIX_BYTES + length:
            raise CallError("the answer is not one whole, uncompressed message")
        return bytes(self._body[_PREFIX_BYTES:])
