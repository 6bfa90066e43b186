"""10,000 marbles after a total outage, with many more connections than places: served, and at what memory.

All come from one address, as behind an ingress, so that the share of one source is what bounds them.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from bench.load import activate_many, prepare
from bench.report import Row
from bench.server import running_server

if TYPE_CHECKING:
    from bench.load import Marble, Tally

MARBLES = 10_000
CONNECTIONS = 2_000
GOAL_SECONDS = 50.0
"""At the floor of 200/s."""


def run() -> list[Row]:
    """Let all come at once; whoever is told to come back does. Then let a quarter come once more."""
    with running_server() as server:
        marble = prepare("worker", str(uuid.uuid4()), server.issuer())
        activate_many(marble, server.mesh, concurrency=4, count=200)
        memory = [server.megabytes()]
        took, tally = _storm(marble, server.mesh, MARBLES)
        memory.append(server.megabytes())
        _storm(marble, server.mesh, MARBLES // 4)
        memory.append(server.megabytes())
        most = server.megabytes("VmHWM")
    turned_away = sum(tally.refused.values()) + sum(tally.failed.values())
    return [
        Row(
            f"a storm of {MARBLES}, {CONNECTIONS} connections at a time",
            f"{took:.0f} s",
            f"{len(tally.seconds)} served, {turned_away} connections turned away and tried again; "
            f"{took / GOAL_SECONDS:.2f} of the time at the floor",
        ),
        Row("  slowest connection that was served", f"{max(tally.seconds):.1f} s", ""),
        Row(
            "  memory before, after, after a second, shorter one",
            ", ".join(f"{megabytes:.0f}" for megabytes in memory) + " MB",
            f"at most {most:.0f} MB",
        ),
    ]


def _storm(marble: Marble, address: tuple[str, int], count: int) -> tuple[float, Tally]:
    begin = time.perf_counter()
    tally = activate_many(marble, address, concurrency=CONNECTIONS, count=count, retries=10 * count)
    return time.perf_counter() - begin, tally
