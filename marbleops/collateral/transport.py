"""One HTTP GET, bounded in time and size, whatever the other side does.

No redirect leaves the host that was named, no environment variable changes the way, and the whole exchange
has one deadline: a source that sends a byte every second is slow, not patient.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, urljoin, urlsplit

from marbleops.collateral import limits

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}


class TransportError(Exception):
    """There is no whole answer; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How to reach sources. ``ca_file`` replaces the system's authorities; ``proxy`` is a host and port."""

    connect_seconds: float = limits.CONNECT_SECONDS
    answer_seconds: float = limits.ANSWER_SECONDS
    ca_file: Path | None = None
    proxy: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, whatever its status."""

    url: str
    status: int
    headers: Message
    body: bytes

    def header(self, *names: str) -> str | None:
        """Return the first of these headers that is there."""
        return next((value for name in names if (value := self.headers.get(name)) is not None), None)


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that may be asked for; raises ``ValueError``."""
    parts = urlsplit(url)
    if len(url) > limits.MAX_URL_LENGTH or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in url):
        raise ValueError("not a URL: too long, or with characters that a URL does not have")
    if parts.scheme not in _PORTS or not parts.hostname or parts.port == 0:
        raise ValueError(f"not an http or https URL: {url[:200]!r}")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a source's URL holds no user, password or fragment")
    return parts


def get(url: str, transport: Transport, *, limit: int = limits.MAX_ANSWER_BYTES) -> Answer:
    """Ask for ``url`` and return the answer, following redirects within its host.

    Raises ``TransportError`` where none comes whole and in time, and ``ValueError`` for a URL that is none.
    """
    origin = _origin(check_url(url))
    for _ in range(limits.MAX_REDIRECTS + 1):
        answer = _exchange(url, transport, limit)
        location = answer.header("Location")
        if answer.status not in _REDIRECTS or location is None:
            return answer
        url = urljoin(url, location)
        try:
            target = _origin(check_url(url))
        except ValueError as error:
            raise TransportError(f"redirects to an address that is none: {error}") from error
        if target != origin:
            raise TransportError(f"redirects to another host, {url[:200]}: not followed")
    raise TransportError(f"redirects more than {limits.MAX_REDIRECTS} times")


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _exchange(url: str, transport: Transport, limit: int) -> Answer:
    parts = check_url(url)
    connection = _connection(parts, transport)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise TransportError(f"cannot connect: {_reason(error, transport.connect_seconds)}") from error
    sock: socket.socket = connection.sock
    try:
        connection.sock = cast("Any", _Deadline(sock, transport.answer_seconds))
        target = parts.path or "/"
        target += f"?{parts.query}" if parts.query else ""
        # What is asked for is short: compressed answers would only need another limit.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "marbleops"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return Answer(url=url, status=response.status, headers=response.headers, body=_body(response, limit))
    except OSError as error:
        raise TransportError(_reason(error, transport.answer_seconds)) from error
    except http.client.HTTPException as error:
        words = str(error) or type(error).__name__
        raise TransportError(f"not an HTTP answer: {words[: limits.MAX_CAUSE_LENGTH]}") from error
    finally:
        sock.close()


def _connection(parts: SplitResult, transport: Transport) -> http.client.HTTPConnection:
    host, port = cast("str", parts.hostname), parts.port or _PORTS[parts.scheme]
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=transport.connect_seconds)
    ca_file = None if transport.ca_file is None else str(transport.ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise TransportError(f"cannot read the authorities in {ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    first = (host, port) if transport.proxy is None else transport.proxy
    connection = http.client.HTTPSConnection(*first, timeout=transport.connect_seconds, context=context)
    if transport.proxy is not None:
        connection.set_tunnel(host, port)
    return connection


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    announced = response.length
    try:
        body = response.read(limit + 1)
    except http.client.IncompleteRead as error:
        raise TransportError(f"truncated: the connection ended after {len(error.partial)} bytes") from error
    if len(body) > limit:
        raise TransportError(f"answers with more than {limit} bytes")
    if announced is not None and len(body) != announced:
        raise TransportError(f"truncated: {len(body)} of {announced} bytes came")
    return body


def _reason(error: OSError, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    return error.strerror or str(error) or type(error).__name__


class _Deadline:
    """A connected socket as ``http.client`` needs it, with one deadline for everything that is read."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._socket = sock
        self._end = time.monotonic() + seconds

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode  # "rb", always
        return io.BufferedReader(_Raw(self))

    def receive_into(self, buffer: memoryview) -> int:
        self._socket.settimeout(self._left())
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        """Leave the socket open: ``http.client`` lets go of it before the answer is read."""

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Raw(io.RawIOBase):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._deadline.receive_into(memoryview(buffer))
