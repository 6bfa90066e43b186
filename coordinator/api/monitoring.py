"""What operators read: ``/metrics``, ``/events``, ``/healthz``, ``/readyz``; plain HTTP.

It listens only where EDG_COORDINATOR_PROMETHEUS_ADDR says (marblerun-core section 9), and that address is for
the operator's network alone: it has no TLS and asks nobody who they are. It tells nothing secret, and a slow
or greedy client costs little: so many connections, a short request, a few seconds, one answer each.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coordinator.api.envelope import go_json
from coordinator.api.listener import listening_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from coordinator.ports import ActivationEvent

MAX_CONNECTIONS = 32
MAX_REQUEST_BYTES = 8 * 1024
SECONDS = 10.0
"""For the request and again for the answer."""
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the answers come from. ``obstacle`` says why the Coordinator is not ready, or None."""

    metrics: Callable[[], bytes]
    metrics_type: str
    events: Callable[[], Iterable[ActivationEvent]]
    obstacle: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class _Page:
    status: int
    kind: str
    body: bytes


class MonitoringServer:
    """The listener for operators; made by :func:`serve_monitoring`."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until it has ended."""
        await self._server.wait_closed()


async def serve_monitoring(sources: Sources, *, host: str, port: int) -> MonitoringServer:
    """Listen for operators.

    Raises:
        OSError: the address cannot be bound.
    """
    held: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(held) >= MAX_CONNECTIONS:  # a probe is answered, whoever else holds all places
            oldest = next(iter(held))
            del held[oldest]
            oldest.transport.abort()
        held[writer] = None
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            await _serve(sources, reader, writer)
        held.pop(writer, None)
        writer.transport.abort()  # what was written is drained by now

    return MonitoringServer(
        await asyncio.start_server(serve, sock=listening_socket(host, port), limit=MAX_REQUEST_BYTES)
    )


async def _serve(sources: Sources, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(SECONDS):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
    method, page = _find(sources, head)
    writer.transport.set_write_buffer_limits(high=0)
    lines = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        "Connection: close",
        "\r\n",
    )
    writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else page.body))
    async with asyncio.timeout(SECONDS):
        await writer.drain()
        writer.write_eof()
        await reader.read(1)  # until the client has seen it all and closes


def _find(sources: Sources, head: bytes) -> tuple[str, _Page]:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "GET", _Page(400, _TEXT, b"bad request\n")
    method, path = words[0], words[1].partition("?")[0]
    if method not in ("GET", "HEAD"):
        return method, _Page(405, _TEXT, b"method not allowed\n")
    return method, _page(sources, path)


def _page(sources: Sources, path: str) -> _Page:
    match path:
        case "/metrics":
            return _Page(200, sources.metrics_type, sources.metrics())
        case "/events":
            return _Page(200, _JSON, events_json(sources.events()))
        case "/healthz":
            return _Page(200, _TEXT, b"ok\n")
        case "/readyz":
            why = sources.obstacle()
            return _Page(200, _TEXT, b"ok\n") if why is None else _Page(503, _TEXT, f"{why}\n".encode())
        case _:
            return _Page(404, _TEXT, b"not found: /metrics, /events, /healthz, /readyz\n")


def events_json(events: Iterable[ActivationEvent]) -> bytes:
    """Write events as MarbleRun does: an array, or ``null`` where there are none."""
    document = [
        {
            "time": go_time(event.at),
            "activation": {
                "marbleType": event.marble_type,
                "uuid": event.uuid,
                "quote": base64.b64encode(event.quote).decode(),
            },
        }
        for event in events
    ]
    return go_json(document or None)


def go_time(at: datetime) -> str:
    """Write a time in UTC as Go's RFC3339Nano does: without trailing zeros in the fraction."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"
