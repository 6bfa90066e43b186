"""Many more marbles than places at once, on a real process: all are served, and others are not shut out."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

from bench.load import Tally, activate_many, prepare
from bench.server import running_server

pytestmark = pytest.mark.integration

MARBLES = 160


def read(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_storm_is_served_and_leaves_room_for_others() -> None:
    """Ten times as many connections as one source's part: none fails, another source waits little."""
    with running_server(
        EDG_COORDINATOR_MAX_CONNECTIONS="16",
        EDG_COORDINATOR_MAX_CONNECTIONS_PER_SOURCE="10",
        EDG_COORDINATOR_PROMETHEUS_ADDR="127.0.0.1:0",
    ) as server:
        assert server.monitoring is not None
        marble = prepare("worker", str(uuid.uuid4()), server.issuer())
        before = server.megabytes()
        storms: list[Tally] = []
        storm = threading.Thread(
            target=lambda: storms.append(activate_many(marble, server.mesh, concurrency=100, count=MARBLES))
        )
        storm.start()
        other = activate_many(marble, server.mesh, concurrency=1, count=3, source="127.0.0.2")
        still_storming = storm.is_alive()
        storm.join()
        (tally,) = storms
        assert (len(tally.seconds), tally.refused, tally.failed) == (MARBLES, {}, {})
        assert (len(other.seconds), other.refused, other.failed) == (3, {}, {})
        assert still_storming, "the other source waited until the storm was over"
        assert server.megabytes() < before + 40
        status, metrics = read(server.monitoring, "/metrics")
        assert status == 200
        wanted = f'coordinator_marble_activations_success_total{{type="worker"}} {MARBLES + 3}.0'
        assert wanted in metrics


def test_a_short_queue_says_when_to_come_back() -> None:
    """With one place to wait the rest hears UNAVAILABLE, comes again and is served in the end."""
    with running_server(EDG_COORDINATOR_MAX_WAITING_ACTIVATIONS="1") as server:
        marble = prepare("worker", str(uuid.uuid4()), server.issuer())
        tally = activate_many(marble, server.mesh, concurrency=30, count=30, retries=3000)
        assert len(tally.seconds) == 30
        assert set(tally.refused) <= {"14"}
        assert tally.failed == {}


def test_a_signal_lets_running_calls_finish() -> None:
    """SIGTERM in the middle of a load: every call that began is answered, and the end is clean."""
    with running_server() as server:
        marble = prepare("worker", str(uuid.uuid4()), server.issuer())
        idle = server.connect()
        idle.request("GET", "/api/v2/status")
        idle.getresponse().read()  # kept alive, and no reason to wait
        tallies: list[Tally] = []
        load = threading.Thread(
            target=lambda: tallies.append(
                activate_many(marble, server.mesh, concurrency=6, until=time.perf_counter() + 1.5)
            )
        )
        load.start()
        time.sleep(0.7)
        server.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert server.process.wait(timeout=15) == 0
        assert time.monotonic() - begin < 6
        load.join()
        idle.close()
        (tally,) = tallies
        assert tally.seconds
        assert tally.refused == {}
        log = (server.folder / "log").read_text()
        assert len(tally.seconds) == log.count('"event": "activate"')
        assert '"event": "stopped"' in log
