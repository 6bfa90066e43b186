"""REST reads a second: on one connection, and with a new connection each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.report import Row
from bench.server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.server import Server

SECONDS = 5.0
PATH = "/api/v2/manifest"


def run() -> list[Row]:
    """Read the manifest, one call after the other."""
    with running_server() as server:
        connection = server.connect()

        def again() -> None:
            connection.request("GET", PATH)
            connection.getresponse().read()

        def anew() -> None:
            fresh = server.connect()
            fresh.request("GET", PATH)
            fresh.getresponse().read()
            fresh.close()

        kept = _rows("REST GET a second, one connection", server, again)
        connection.close()
        return [*kept, *_rows("REST GET a second, new connection each", server, anew)]


def _rows(what: str, server: Server, work: Callable[[], None]) -> list[Row]:
    work()
    took: list[float] = []
    cpu, begin = server.cpu_seconds(), time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        one = time.perf_counter()
        work()
        took.append(time.perf_counter() - one)
    cpu = (server.cpu_seconds() - cpu) / len(took)
    took.sort()
    p99 = took[len(took) * 99 // 100]
    return [
        Row(what, f"{len(took) / sum(took):.0f}", f"one at a time; p99 {p99 * 1000:.1f} ms"),
        Row("  Coordinator CPU for each", f"{cpu * 1000:.2f} ms", ""),
    ]
