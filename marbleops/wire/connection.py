"""HTTPS to a Coordinator whose certificate no authority signed: the certificate itself is what is compared.

A connection is *open* until attestation has fixed the Coordinator's root certificate, and *pinned* from then
on: every new connection must present exactly that certificate, before a byte of a request is sent. Nothing
here is trusted for identity; the quote is (``rest.CoordinatorClient.attest``).
"""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.wire.identity import ClientIdentity

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""The largest page of history: a hundred records with their floors, in base64."""
MAX_STRANGER_BYTES = 2 * 1024 * 1024
"""What somebody who has not attested yet may make us read: collateral is the longest, at most 1 MiB."""
DEFAULT_PORT = 4433


class CoordinatorUnreachable(Exception):  # noqa: N818  the name of the condition in status and exit codes
    """No answer: the address does not resolve, nothing listens, TLS fails, or it took too long."""


class UnexpectedCertificate(Exception):  # noqa: N818
    """A connection presented another certificate than the attested one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Coordinator listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_port: int = DEFAULT_PORT) -> Address:
        """Read ``host``, ``host:port`` or ``[v6]:port``.

        Raises:
            ValueError: it is none of these.
        """
        host, separator, port = text.rpartition(":")
        if not separator or (":" in host and not host.startswith("[")) or text.endswith("]"):
            host, port = text, str(default_port)
        host = host.removeprefix("[").removesuffix("]")
        if "/" in text:
            raise ValueError(
                f"not an address: {text!r} (expected HOST or HOST:PORT, without https:// or a path)"
            )
        if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"not an address: {text!r} (expected HOST or HOST:PORT)")
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, unread."""

    status: int
    body: bytes


class PinnedHttps:
    """One keep-alive connection to one address, opened again when needed."""

    def __init__(
        self,
        address: Address,
        *,
        connect_timeout: float,
        timeout: float,
        identity: ClientIdentity | None = None,
    ) -> None:
        self.address = address
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._context = _unverified_context()
        if identity is not None:
            identity.present_in(self._context)
        self._http: _Connection | None = None
        self.pin: bytes | None = None

    def fresh(self) -> bytes:
        """Open a new connection and return the certificate it presents, as DER.

        Raises:
            CoordinatorUnreachable: it cannot be opened.
            UnexpectedCertificate: a pin is set and this is another certificate.
        """
        self.close()
        connection = _Connection(self.address, self._context, self._connect_timeout)
        with self._guarded(connection):
            connection.connect()
        presented = connection.certificate()
        if self.pin is not None and not hmac.compare_digest(presented, self.pin):
            connection.close()
            raise UnexpectedCertificate(f"{self.address} presents another certificate than the attested one")
        self._http = connection
        return presented

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        repeatable: bool,
        limit: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Send a request, on the open connection where *repeatable*, and read the whole answer.

        A request that changes something gets a new connection, so that it is never sent twice.

        Raises:
            CoordinatorUnreachable: no whole answer came in time, or it is too large.
            UnexpectedCertificate: see ``fresh``.
        """
        if self._http is not None and repeatable:
            try:
                return self._exchange(self._http, method, target, body, limit)
            except CoordinatorUnreachable:
                pass  # most likely closed while idle
        self.fresh()
        assert self._http is not None
        return self._exchange(self._http, method, target, body, limit)

    def close(self) -> None:
        """Close the connection; the pin stays."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _exchange(
        self, connection: _Connection, method: str, target: str, body: bytes | None, limit: int
    ) -> Answer:
        headers = {"Accept": "application/json"} | (
            {} if body is None else {"Content-Type": "application/json"}
        )
        try:
            with self._guarded(connection):
                connection.request(method, target, body, headers)
                response = connection.getresponse()
                content = response.read(limit + 1)
        except CoordinatorUnreachable:
            self.close()
            raise
        if len(content) > limit:
            self.close()
            raise CoordinatorUnreachable(f"{self.address}: the answer is larger than {limit} bytes")
        return Answer(status=response.status, body=content)

    @contextmanager
    def _guarded(self, connection: _Connection) -> Iterator[None]:
        # Socket time-outs restart with every byte; a peer that drips must end as well.
        timer = threading.Timer(self._timeout, connection.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            words = "no whole answer in time" if connection.is_cut else _words(error)
            raise CoordinatorUnreachable(f"{self.address}: {words}") from error
        finally:
            timer.cancel()


class _Connection(http.client.HTTPConnection):
    """HTTP on TLS, with the socket in reach of the deadline during the handshake too."""

    auto_open = 0  # opening again is PinnedHttps's, which compares the certificate

    def __init__(self, address: Address, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(address.host, address.port, timeout=timeout)
        self._context = context
        self._tls: ssl.SSLSocket | None = None
        self.is_cut = False

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._context.wrap_socket(
                plain,
                server_hostname=self.host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,  # an end without close_notify is no end
            )
        except BaseException:
            plain.close()
            raise
        self.sock = self._tls = tls
        try:
            if self.is_cut:  # while it was connecting, when there was nothing to cut yet
                raise TimeoutError
            tls.do_handshake()
        except BaseException:
            self.close()
            raise
        tls.settimeout(None)  # the deadline rules from here

    def certificate(self) -> bytes:
        assert self._tls is not None
        presented = self._tls.getpeercert(binary_form=True)
        assert presented is not None, "a TLS server always presents a certificate"
        return presented

    def cut(self) -> None:
        self.is_cut = True
        if self._tls is not None:
            try:
                socket.socket.shutdown(self._tls, socket.SHUT_RDWR)
            except OSError:
                return  # closed already


def _words(error: OSError | http.client.HTTPException) -> str:
    """Say what failed without the places in the library's source, and name the usual wrong ports."""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        if "CERTIFICATE_REQUIRED" in reason:
            return "a client certificate is asked for: this is the marbles' port (2001 unless it was changed)"
        return f"TLS failed ({reason}): is this the Coordinator's client port?"
    if isinstance(error, TimeoutError):
        return "no TLS handshake in time: is this the Coordinator's client port?"
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__


def _unverified_context() -> ssl.SSLContext:
    # No authority signs a Coordinator; the certificate is compared with the attested one instead.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
