"""A cheap load of marbles: everything is made before the clock starts, the rest is TLS and prepared bytes.

A client that made a key, a certificate, a quote and a gRPC channel for each call would measure itself. Here one
marble identity with its quote and request serves all connections of a process, HTTP/2 is a prepared prefix,
and one selector drives as many connections at a time as asked for. What the Coordinator sees is what any
marble sends: a new TCP connection, a full mutual handshake, settings, one call.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
from cryptography.hazmat.primitives.serialization import Encoding
from hpack import Decoder
from OpenSSL import SSL

from marbleops.attestation.binding import marble_report_data
from marbleops.marble.identity import make_identity, now
from marbleops.wire import marble_pb2

if TYPE_CHECKING:
    from marbleops.attestation.platform.base import QuoteIssuer

_METHOD = "/rpc.Marble/Activate"
_FRAME_HEADER = 9
_HEADERS, _END_STREAM = 1, 1
_STREAM = 1


@dataclass(frozen=True, slots=True)
class Marble:
    """A prepared marble: the TLS identity and the bytes it sends."""

    context: SSL.Context
    sends: bytes


def prepare(marble_type: str, uuid: str, issuer: QuoteIssuer) -> Marble:
    """Make identity, quote and request, P-384 as the premains do."""
    identity = make_identity((marble_type,), at=now())
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.key)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_protos([b"h2"])
    message = marble_pb2.ActivationReq(
        Quote=issuer.quote(marble_report_data(identity.certificate_der)),
        CSR=identity.request.public_bytes(Encoding.DER),
        MarbleType=marble_type,
        UUID=uuid,
    ).SerializeToString()
    return Marble(context, _http2(message))


def _http2(message: bytes) -> bytes:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "coordinator"),
        (":path", _METHOD),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    connection.send_headers(_STREAM, headers)
    body = b"\0" + len(message).to_bytes(4) + message
    for start in range(0, len(body), 16384):
        chunk = body[start : start + 16384]
        connection.send_data(_STREAM, chunk, end_stream=start + 16384 >= len(body))
    sent: bytes = connection.data_to_send()
    return sent


@dataclass(slots=True)
class Tally:
    """What came of the calls. *refused* holds a gRPC status each, *failed* what broke a connection."""

    seconds: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Take in the results of another process."""
        self.seconds += other.seconds
        for mine, theirs in ((self.refused, other.refused), (self.failed, other.failed)):
            for what, count in theirs.items():
                mine[what] = mine.get(what, 0) + count


class _Connection:
    """One connection from connect to the call's status."""

    def __init__(self, marble: Marble, address: tuple[str, int], source: str) -> None:
        self.began = time.perf_counter()
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket.setblocking(False)
        if source:
            self.socket.bind((source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.tls = SSL.Connection(marble.context, self.socket)
        self.tls.set_connect_state()
        self.status: str | None = None
        self._unsent = marble.sends
        self._shaken = False
        self._received = bytearray()
        self._headers = Decoder()

    def step(self) -> int:
        """Go on; return the events to wait for, 0 at the end."""
        try:
            if not self._shaken:
                self.tls.do_handshake()
                self._shaken = True
            while self._unsent:
                self._unsent = self._unsent[self.tls.send(self._unsent) :]
            while self.status is None:
                self._received += self.tls.recv(65536)
                self._read()
        except SSL.WantWriteError:
            return selectors.EVENT_WRITE
        except SSL.WantReadError:
            return selectors.EVENT_READ
        return 0

    def _read(self) -> None:
        while len(self._received) >= _FRAME_HEADER:
            length = int.from_bytes(self._received[:3])
            if len(self._received) < _FRAME_HEADER + length:
                return
            kind, flags = self._received[3], self._received[4]
            if kind == _HEADERS:  # each block must be decoded, since later ones refer to it
                block = bytes(self._received[_FRAME_HEADER : _FRAME_HEADER + length])
                headers = dict(self._headers.decode(block, raw=True))
                if flags & _END_STREAM:
                    self.status = headers.get(b"grpc-status", b"none").decode()
            del self._received[: _FRAME_HEADER + length]


def activate_many(
    marble: Marble,
    address: tuple[str, int],
    *,
    concurrency: int,
    count: int | None = None,
    until: float | None = None,
    source: str = "",
    retries: int = 0,
) -> Tally:
    """Keep *concurrency* connections busy until *count* calls have ended, or until the time *until*.

    A call that was refused as exhausted or that broke is tried again, *retries* times in all.
    """
    tally, begun = Tally(), 0
    with selectors.DefaultSelector() as selector:
        running = 0
        while True:
            open_ended = until is None or time.perf_counter() < until
            while running < concurrency and open_ended and (count is None or begun < count):
                begun, running = begun + 1, running + 1
                connection = _Connection(marble, address, source)
                selector.register(connection.socket, selectors.EVENT_WRITE, connection)
            if not running:
                return tally
            for key, _ in selector.select():
                connection = key.data
                outcome = _advance(selector, connection)
                if outcome is None:
                    continue
                running -= 1
                if retries > 0 and outcome in _WORTH_ANOTHER_TRY:
                    retries, begun = retries - 1, begun - 1
                _note(tally, connection, outcome)


_WORTH_ANOTHER_TRY = frozenset({"8", "14", "SysCallError", "ConnectionResetError", "ZeroReturnError"})


def _advance(selector: selectors.BaseSelector, connection: _Connection) -> str | None:
    try:
        events = connection.step()
    except (SSL.Error, OSError) as error:
        outcome = type(error).__name__
    else:
        if events:
            selector.modify(connection.socket, events, connection)
            return None
        outcome = connection.status or "none"
    selector.unregister(connection.socket)
    connection.socket.close()
    return outcome


def _note(tally: Tally, connection: _Connection, outcome: str) -> None:
    if outcome == "0":
        tally.seconds.append(time.perf_counter() - connection.began)
    else:
        where = tally.refused if outcome.isdigit() else tally.failed
        where[outcome] = where.get(outcome, 0) + 1
