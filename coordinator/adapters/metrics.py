"""Prometheus metrics under MarbleRun's names, and the newest activations (marblerun-core section 9).

What strangers choose never becomes a label without a bound: a type that the manifest does not name is
``unknown``, a method that HTTP does not know likewise, and the UUID is no label at all unless the owner asked
for it with EDG_COORDINATOR_METRICS_UUID=1. The registry is our own, without the process's figures.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from marbleops.collateral.cache import CacheError
from marbleops.collateral.status import METRIC, METRIC_HELP, METRIC_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coordinator.ports import ActivationEvent

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MAX_EVENTS = 1000
MAX_UUIDS = 10_000
"""Different pairs of type and UUID that become labels where that is switched on; later ones share a label for
each type: strangers choose both."""
UNKNOWN = "unknown"
OTHER = "other"
_DURATIONS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5)
_SIZES = (100, 1000, 2000, 5000, 10000)
_METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "connect", "options", "trace"})
_GRPC = {"grpc_type": "unary", "grpc_service": "rpc.Marble", "grpc_method": "Activate"}
_GRPC_CODES = {
    0: "OK",
    1: "Canceled",
    3: "InvalidArgument",
    4: "DeadlineExceeded",
    7: "PermissionDenied",
    8: "ResourceExhausted",
    9: "FailedPrecondition",
    12: "Unimplemented",
    13: "Internal",
    14: "Unavailable",
    16: "Unauthenticated",
}


class _Request(Protocol):
    @property
    def method(self) -> str: ...
    @property
    def content_length(self) -> int | None: ...


class _Response(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def content_length(self) -> int | None: ...


class Metrics:
    """Everything that is counted in one process. Thread-safe; counting never fails and never waits."""

    def __init__(self, *, version: str, commit: str, phase: Callable[[], int], label_uuid: bool) -> None:
        cast("Callable[[], None]", disable_created_metrics)()  # MarbleRun has no such series
        self._registry = registry = CollectorRegistry(auto_describe=True)
        self._label_uuid = label_uuid
        self._uuids: set[tuple[str, str]] = set()
        self._uuids_lock = threading.Lock()
        self._events: deque[ActivationEvent] = deque(maxlen=MAX_EVENTS)
        Gauge(
            "coordinator_version_info",
            "Version of this Coordinator.",
            ("version", "commit"),
            registry=registry,
        ).labels(version, commit).set(1)
        state = Gauge("coordinator_state", "State of the Coordinator.", registry=registry)
        state.set_function(phase)
        labels = ("type", "uuid") if label_uuid else ("type",)
        self._attempts = Counter(
            "coordinator_marble_activations", "Activations asked for.", labels, registry=registry
        )
        self._successes = Counter(
            "coordinator_marble_activations_success", "Activations that succeeded.", labels, registry=registry
        )
        self._rest = _Rest(registry)
        self._calls = _Calls(registry)

    def page(self) -> bytes:
        """Return what ``GET /metrics`` answers."""
        return generate_latest(self._registry)

    def watch_collateral(self, values: Callable[[], Iterable[tuple[tuple[str, ...], float]]]) -> None:
        """Show from now on how long collateral lasts: what ``status.seconds_to_expiry`` gives."""
        self._registry.register(_Expiry(values))

    # Activations, as the service tells them.

    def activation_attempt(self, marble_type: str | None, uuid: str) -> None:
        """Count a call; *marble_type* is None where the enforced manifest has no such type."""
        self._attempts.labels(*self._labels(marble_type or UNKNOWN, uuid)).inc()

    def activation_success(self, event: ActivationEvent) -> None:
        """Count and remember an activation that is durable."""
        self._successes.labels(*self._labels(event.marble_type, event.uuid)).inc()
        self._events.append(event)

    def events(self) -> tuple[ActivationEvent, ...]:
        """Return the newest successes, oldest first."""
        return tuple(self._events.copy())

    def _labels(self, marble_type: str, uuid: str) -> tuple[str, ...]:
        if not self._label_uuid:
            return (marble_type,)
        with self._uuids_lock:
            if (marble_type, uuid) not in self._uuids:
                if len(self._uuids) >= MAX_UUIDS:
                    return (marble_type, OTHER)
                self._uuids.add((marble_type, uuid))
        return (marble_type, uuid)

    # Requests, as the edges tell them.

    def began(self, path: str) -> None:
        """Hear of a REST request on one of the known paths; an empty path is every other one."""
        if path:
            self._rest.in_flight.labels(path).inc()

    def ended(self, path: str, request: _Request, response: _Response | None, seconds: float) -> None:
        """Hear of its end; without an answer if the server stopped meanwhile."""
        if not path:
            return
        self._rest.in_flight.labels(path).dec()
        if response is not None:
            self._rest.count(path, request, response, seconds)

    def call_began(self) -> None:
        """Hear of an Activate call."""
        self._calls.started.inc()
        self._calls.received.inc()

    def call_ended(self, code: int) -> None:
        """Hear of its gRPC status."""
        self._calls.handled.labels(*_GRPC.values(), _GRPC_CODES.get(code, "Unknown")).inc()
        if code == 0:
            self._calls.sent.inc()


class _Rest:
    """The families of the REST port; the path is one of our own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "server_client_api_http"
        self._total = Counter(f"{name}_request", "Requests.", ("path", "code", "method"), registry=registry)
        self._seconds = Histogram(
            f"{name}_request_duration_histogram_seconds",
            "How long requests took.",
            ("path", "method"),
            buckets=_DURATIONS,
            registry=registry,
        )
        self._received = Histogram(
            f"{name}_request_size_histogram_bytes",
            "Sizes of request bodies.",
            ("path",),
            buckets=_SIZES,
            registry=registry,
        )
        self._sent = Histogram(
            f"{name}_response_size_histogram_bytes",
            "Sizes of response bodies.",
            ("path",),
            buckets=_SIZES,
            registry=registry,
        )
        self.in_flight = Gauge(
            f"{name}_in_flight_requests", "Requests that are being served.", ("path",), registry=registry
        )

    def count(self, path: str, request: _Request, response: _Response, seconds: float) -> None:
        method = request.method.lower()
        if method not in _METHODS:
            method = UNKNOWN
        self._total.labels(path, str(response.status), method).inc()
        self._seconds.labels(path, method).observe(seconds)
        self._received.labels(path).observe(request.content_length or 0)
        self._sent.labels(path).observe(response.content_length or 0)


class _Expiry(Collector):
    """The lives of collateral, read from its cache for each page."""

    def __init__(self, values: Callable[[], Iterable[tuple[tuple[str, ...], float]]]) -> None:
        self._values = values

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the family, empty where the cache cannot be read: an alarm on absence rings then."""
        family = GaugeMetricFamily(METRIC, METRIC_HELP, labels=METRIC_LABELS)
        try:
            for labels, seconds in self._values():
                family.add_metric(labels, seconds)
        except CacheError:
            family.samples.clear()
        return (family,)


class _Calls:
    """The counters that gRPC servers have everywhere, for our one method."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = tuple(_GRPC)
        values = tuple(_GRPC.values())

        def counter(what: str, text: str) -> Counter:
            return Counter(f"grpc_server_{what}", text, names, registry=registry).labels(*values)

        self.started = counter("started", "Calls begun.")
        self.received = counter("msg_received", "Messages received.")
        self.sent = counter("msg_sent", "Messages sent.")
        self.handled = Counter(
            "grpc_server_handled", "Calls ended, by status.", (*names, "grpc_code"), registry=registry
        )
