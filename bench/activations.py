"""Activations a second with a new connection each, beside what OpenSSL alone can do on this machine.

P-384 throughout, a quote verified for each, MaxActivations durable before the answer, the load on the same
cores. The Coordinator's CPU per activation is the honest figure; the rate depends on who else is here. What is
marked *derived* was not measured: it is one second over that CPU, the most that one core to itself could do.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from bench.limits import measure, own_cpu_seconds
from bench.load import activate_many, prepare
from bench.report import Row
from bench.server import running_server

if TYPE_CHECKING:
    from bench.limits import Limits
    from bench.server import Server

SECONDS = 15.0
CONCURRENCY = 8
FLOOR, GOAL = 200, 300
GOAL_MILLISECONDS = 2.5


def run() -> list[Row]:
    """Measure the limits, then a steady load."""
    limits = measure()
    with running_server() as server:
        return [*_limit_rows(limits), *_load_rows(server, limits)]


def _limit_rows(limits: Limits) -> list[Row]:
    return [
        Row("openssl, P-384: signatures a second, one core", f"{limits.signatures:.0f}", ""),
        Row("  verifications", f"{limits.verifications:.0f}", ""),
        Row("  new mutual TLS connections", f"{limits.handshakes:.0f}", "both ends here, nothing else done"),
        Row("  s_server's CPU for each", f"{limits.server_milliseconds:.2f} ms", ""),
        _derived("  derived: s_server on a core of its own", limits.server_milliseconds),
    ]


def _load_rows(server: Server, limits: Limits) -> list[Row]:
    marble = prepare("worker", str(uuid.uuid4()), server.issuer())
    activate_many(marble, server.mesh, concurrency=2, count=50)
    cpu, own, begin = server.cpu_seconds(), own_cpu_seconds(), time.perf_counter()
    tally = activate_many(marble, server.mesh, concurrency=CONCURRENCY, until=begin + SECONDS)
    took, cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    own = own_cpu_seconds() - own
    done = len(tally.seconds)
    rate, milliseconds = done / took, cpu / done * 1000
    ordered = sorted(tally.seconds)
    return [
        Row(
            "activations a second, new connection each",
            f"{rate:.0f}",
            f"{rate / FLOOR:.2f} of the floor ({FLOOR}), {rate / GOAL:.2f} of the goal ({GOAL}), "
            f"{rate / limits.handshakes:.2f} of openssl's bare handshakes",
        ),
        Row(
            "  Coordinator CPU per activation",
            f"{milliseconds:.2f} ms",
            f"{milliseconds / GOAL_MILLISECONDS:.2f} of the goal ({GOAL_MILLISECONDS} ms), "
            f"{milliseconds / limits.server_milliseconds:.2f} x openssl's bare handshake",
        ),
        Row(
            "  the load's own CPU per activation",
            f"{own / done * 1000:.2f} ms",
            f"{own / took:.2f} of a core busy (the Coordinator {cpu / took:.2f}): at 1 the load is the limit",
        ),
        _derived("  derived: the Coordinator on a core of its own", milliseconds),
        Row(
            "  median, p99",
            f"{ordered[done // 2] * 1000:.0f}, {ordered[done * 99 // 100] * 1000:.0f} ms",
            f"{CONCURRENCY} at a time",
        ),
        Row("  refused, broken", f"{sum(tally.refused.values())}, {sum(tally.failed.values())}", ""),
    ]


def _derived(what: str, milliseconds: float) -> Row:
    """Say what one core could do that has nothing else to do."""
    rate = 1000 / milliseconds
    return Row(what, f"{rate:.0f}", "a second over the CPU of each; derived, not measured")
