"""TLS for both ports: ask every client for a certificate, accept whatever it shows, hand it on as DER.

Marbles and users present self-signed certificates; who they are is decided per request (marblerun-core 4.2,
marblerun-api-cli-k8s 1.1). The standard library's ``ssl`` can only require *and verify*, so an
``asyncio.Protocol`` on the plain TCP transport drives a pyOpenSSL ``Connection`` over memory BIOs and gives
the inner protocol an ``asyncio.Transport`` (architecture.md, decision 5). The client still proves that it
holds the key: OpenSSL checks CertificateVerify whatever the callback says.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from coordinator.api.listener import Listener, ListenLimits, listening_socket
from coordinator.api.noise import HandshakeNoise

if TYPE_CHECKING:
    import socket
    from asyncio.transports import BaseTransport
    from collections.abc import Callable

_CHUNK = 64 * 1024
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_SESSION_ID = b"marbleops"


class NotReadyError(Exception):
    """There is no certificate to present yet; a context factory raises it and the connection is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsLimits:
    """What one listener spends on strangers. Times in seconds, sizes in bytes."""

    handshake_seconds: float = 10.0
    idle_seconds: float = 60.0
    """Without a byte in either direction; a peer that does not read our answer is idle."""
    linger_seconds: float = 2.0
    """After our close_notify: closing at once would answer unread bytes with RST and lose our last words."""
    finish_seconds: float = 8.0
    """For running calls when the server ends; supervisors usually give 10 s before they kill."""
    listen: ListenLimits = field(default_factory=ListenLimits)
    write_high: int = 256 * 1024
    """Buffered ciphertext from which the inner protocol is asked to pause."""
    noise: str = "error"
    """The level at which failed handshakes are logged."""
    write_max: int = 16 * 1024 * 1024
    """Buffered ciphertext from which the connection is dropped: the inner protocol ignored the pause."""


def make_context(
    *, certificates_pem: bytes, key_pem: bytes, alpn: tuple[bytes, ...], require_client_certificate: bool
) -> SSL.Context:
    """Build the server context for one identity: TLS 1.2 or later, no resumption, no renegotiation.

    Raises:
        ValueError: there is no certificate, or the PEM cannot be read.
        SSL.Error: the key does not belong to the first certificate.
    """
    certificates = x509.load_pem_x509_certificates(certificates_pem)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.use_certificate(certificates[0])
    for issuer in certificates[1:]:
        context.add_extra_chain_cert(issuer)
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the Coordinator's keys are elliptic-curve keys")  # noqa: TRY004  it is the PEM's value
    context.use_privatekey(key)
    context.check_privatekey()
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if require_client_certificate else 0
    # Accepting is the point; no CA names are sent, since Go clients then withhold their certificate.
    context.set_verify(SSL.VERIFY_PEER | required, lambda *_: True)
    # Nothing is decided by the chain, so no signature in it is worth checking: a hundred cost 50 ms.
    context.set_verify_depth(0)
    # A client that tries to resume gets a full handshake; without an id context OpenSSL would abort it.
    context.set_session_id(_SESSION_ID)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)

    def choose(_: SSL.Connection, offered: list[bytes]) -> Any:
        return next((name for name in alpn if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    context.set_alpn_select_callback(choose)
    return context


class TlsServer:
    """A listener and its connections; made by :func:`serve`."""

    def __init__(
        self,
        listening: socket.socket,
        context_factory: Callable[[], SSL.Context],
        protocol_factory: Callable[[], asyncio.Protocol],
        limits: TlsLimits,
        finish: Callable[[asyncio.Protocol], None] | None,
    ) -> None:
        self.port: int = listening.getsockname()[1]
        self._context_factory = context_factory
        self._protocol_factory = protocol_factory
        self._limits = limits
        self._finish = finish
        self._connections: set[_Connection] = set()
        self._drained = asyncio.Event()
        self._noise = HandshakeNoise(limits.noise)
        self._listener = Listener(listening, limits.listen, self._new_connection)

    def close(self) -> None:
        """Stop listening and end every connection, telling the peers; a running call may still finish."""
        self._listener.close()
        for connection in tuple(self._connections):
            connection.finish(self._finish)

    async def wait_closed(self) -> None:
        """Wait until no connection is left; those that take too long are cut off."""
        await self._listener.wait_closed()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), self._limits.finish_seconds)
        for connection in tuple(self._connections):
            connection.tcp.abort()
        if self._connections:
            await self._drained.wait()

    def _new_connection(self, give_back: Callable[[], None]) -> _Connection:
        def release(connection: _Connection) -> None:
            self._connections.discard(connection)
            give_back()
            if not self._connections and self._listener.closed:
                self._drained.set()

        connection = _Connection(
            self._context_factory, self._protocol_factory, self._limits, self._noise, release=release
        )
        self._connections.add(connection)
        return connection


async def serve(
    *,
    host: str,
    port: int,
    context_factory: Callable[[], SSL.Context],
    protocol_factory: Callable[[], asyncio.Protocol],
    limits: TlsLimits,
    finish: Callable[[asyncio.Protocol], None] | None = None,
) -> TlsServer:
    """Listen on *host* (empty: every address) and *port* (0: any) and serve until ``close``.

    The context is asked for at each connection, since the certificate changes with the Coordinator's root.
    *finish* asks an inner protocol to end after what it does now; without it connections end at once.

    Raises:
        OSError: the address cannot be bound.
    """
    return TlsServer(listening_socket(host, port), context_factory, protocol_factory, limits, finish)


class _Phase(Enum):
    NEW = auto()
    """Accepted, and not yet connected to the loop."""
    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    """Our close_notify or alert is written; what still comes in is thrown away."""


class _Connection(asyncio.Protocol):
    """One TCP connection: ciphertext on this side, the inner protocol on the other."""

    def __init__(
        self,
        context_factory: Callable[[], SSL.Context],
        protocol_factory: Callable[[], asyncio.Protocol],
        limits: TlsLimits,
        noise: HandshakeNoise,
        *,
        release: Callable[[_Connection], None],
    ) -> None:
        self._noise = noise
        self._context_factory = context_factory
        self._protocol_factory = protocol_factory
        self._limits = limits
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._phase = _Phase.NEW
        self._inner: asyncio.Protocol | None = None
        self._reading = True
        self._end_delivered = False
        self._unwritten = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.tcp = transport
        if self._phase is _Phase.CLOSING:  # the server has ended meanwhile
            transport.abort()
            return
        self._phase = _Phase.HANDSHAKE
        transport.set_write_buffer_limits(high=self._limits.write_high)
        self._set_deadline(self._limits.handshake_seconds)
        try:
            context = self._context_factory()
        except BaseException as error:
            transport.abort()
            if isinstance(error, NotReadyError):
                return
            raise
        self.tls = SSL.Connection(context, None)
        self.tls.set_accept_state()

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.CLOSING:
            return
        self.tls.bio_write(data)
        if self._phase is _Phase.HANDSHAKE:
            self._handshake()
        if self._phase is _Phase.OPEN:
            self._deadline = self._loop.time() + self._limits.idle_seconds
            self._deliver()

    def eof_received(self) -> bool:
        # Without close_notify the end is not authentic (RFC 8446, 6.1): the connection is lost, not ended.
        if self._phase is _Phase.OPEN and not self._end_delivered:
            self._lose(ConnectionResetError("TCP ended without close_notify"))
            return False
        return self._phase is _Phase.OPEN  # a peer that said close_notify may still read our answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _Phase.CLOSING
        if self._timer is not None:
            self._timer.cancel()
        self._lose(exc)
        self._release(self)

    @property
    def closing(self) -> bool:
        return self._phase is _Phase.CLOSING or self.tcp.is_closing()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    # What the inner transport asks for.

    def write(self, plaintext: bytes) -> None:
        if self._phase is not _Phase.OPEN or not plaintext:
            return
        self._deadline = self._loop.time() + self._limits.idle_seconds
        try:
            self.tls.sendall(plaintext)
        except SSL.Error:  # after our close_notify: what cannot be sent is not an error of the writer's
            return
        self._flush()
        if self.tcp.get_write_buffer_size() > self._limits.write_max:
            self.tcp.abort()

    def write_eof(self) -> None:
        if self._phase is _Phase.OPEN:
            with contextlib.suppress(SSL.Error):
                self.tls.shutdown()
            self._flush()

    def close(self) -> None:
        if self._phase is not _Phase.CLOSING:
            self.write_eof()
            self._linger()
            self._loop.call_soon(self._lose, None)

    def finish(self, finish: Callable[[asyncio.Protocol], None] | None) -> None:
        """End after what the inner protocol does now."""
        if self._phase is _Phase.NEW:
            self._phase = _Phase.CLOSING
        elif finish is None or self._inner is None or self._phase is not _Phase.OPEN:
            self.close()
        else:
            finish(self._inner)

    def pause_reading(self) -> None:
        self._reading = False
        if not self.tcp.is_closing():
            self.tcp.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            if not self.tcp.is_closing():
                self.tcp.resume_reading()
            self._loop.call_soon(self._deliver)  # what OpenSSL already holds causes no further read event

    # Handshake, data, end.

    def _handshake(self) -> None:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        except SSL.Error as error:
            self._noise.heard(self.tcp.get_extra_info("peername"), error, self._loop.time())
            self._flush()  # the alert
            self._linger()
            return
        self._flush()
        self._phase = _Phase.OPEN
        self._set_deadline(self._limits.idle_seconds)
        self._inner = self._protocol_factory()
        self._inner.connection_made(_InnerTransport(self, _peer_certificates(self.tls)))

    def _deliver(self) -> None:
        inner = self._inner
        while inner is not None and self._phase is _Phase.OPEN and self._reading and not self._end_delivered:
            try:
                plaintext = self.tls.recv(_CHUNK)
            except SSL.WantReadError:
                self._flush()  # answers to post-handshake messages
                return
            except SSL.ZeroReturnError:
                self._end_delivered = True
                if not inner.eof_received():
                    self.close()
                return
            except SSL.Error:
                self._flush()
                self._linger()
                self._lose(ConnectionResetError("TLS failed"))
                return
            inner.data_received(plaintext)

    def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):  # there was nothing at all
            more = True
            while more:
                ciphertext = self.tls.bio_read(_CHUNK)
                self.tcp.write(ciphertext)
                more = len(ciphertext) == _CHUNK

    def _linger(self) -> None:
        self._phase = _Phase.CLOSING
        if self.tcp.is_closing():
            return
        if not self._reading:
            self.tcp.resume_reading()  # so that the peer's end is noticed
        try:
            self.tcp.write_eof()
        except OSError:  # the peer has reset the connection, asyncio has not noticed yet
            self.tcp.abort()
            return
        unwritten = self.tcp.get_write_buffer_size()
        self._set_deadline(self._limits.idle_seconds if unwritten else self._limits.linger_seconds)

    def _lose(self, exc: Exception | None) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        unwritten = self.tcp.get_write_buffer_size()
        if 0 < unwritten < self._unwritten:  # slow, but it reads
            self._deadline = self._loop.time() + self._limits.idle_seconds
        self._unwritten = unwritten
        if self._loop.time() >= self._deadline:
            self.tcp.abort()
        else:
            self._timer = self._loop.call_at(self._deadline, self._tick)


class _InnerTransport(asyncio.Transport):
    """The plaintext side as asyncio knows it."""

    def __init__(self, connection: _Connection, peer_certificates: tuple[bytes, ...]) -> None:
        tls = connection.tls
        super().__init__(
            {
                "peer_certificates": peer_certificates,
                "alpn_protocol": tls.get_alpn_proto_negotiated(),
                "tls_version": tls.get_protocol_version_name(),
                "sslcontext": tls.get_context(),  # aiohttp asks whether there is one: the scheme is https
            }
        )
        self._connection = connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        own = super().get_extra_info(name)
        return own if own is not None else self._connection.tcp.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._connection.write(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._connection.write_eof()

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        self._connection.tcp.abort()

    def is_closing(self) -> bool:
        return self._connection.closing

    def pause_reading(self) -> None:
        self._connection.pause_reading()

    def resume_reading(self) -> None:
        self._connection.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._connection.tcp.get_write_buffer_size()


def _peer_certificates(tls: SSL.Connection) -> tuple[bytes, ...]:
    """Return the client's certificates as sent, leaf first; a server's chain lacks the leaf in OpenSSL."""
    leaf = tls.get_peer_certificate()
    chain = ([] if leaf is None else [leaf]) + list(tls.get_peer_cert_chain() or ())
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in chain)
