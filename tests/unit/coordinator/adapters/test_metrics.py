"""What is counted, under which names, and that strangers choose no label without a bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from coordinator.adapters import metrics
from coordinator.adapters.metrics import MAX_EVENTS, Metrics
from coordinator.api.monitoring import events_json, go_time
from coordinator.ports import ActivationEvent
from marbleops.collateral.cache import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

EVENT = ActivationEvent(
    at=datetime(2026, 11, 24, 1, 2, 3, 450000, tzinfo=UTC), marble_type="<b>", uuid="u", quote=b"\x01\x02"
)


@dataclass(frozen=True)
class Message:
    """Enough of a request and of an answer."""

    method: str = "GET"
    status: int = 200
    content_length: int | None = None


def made(*, label_uuid: bool = False) -> Metrics:
    return Metrics(version="1.2", commit="abc", phase=lambda: 3, label_uuid=label_uuid)


def test_the_uuid_is_no_label_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """MarbleRun's label can be made up by anyone; with the switch it is there, and bounded."""
    plain = made()
    plain.activation_attempt(None, "made up")
    plain.activation_success(EVENT)
    page = plain.page().decode()
    assert 'coordinator_marble_activations_total{type="unknown"} 1.0' in page
    assert 'coordinator_marble_activations_success_total{type="<b>"} 1.0' in page
    assert "made up" not in page
    monkeypatch.setattr(metrics, "MAX_UUIDS", 2)
    labelled = made(label_uuid=True)
    for number in range(5):
        labelled.activation_attempt("worker", f"uuid-{number}")
    page = labelled.page().decode()
    assert page.count('coordinator_marble_activations_total{type="worker",uuid="uuid-') == 2
    assert 'coordinator_marble_activations_total{type="worker",uuid="other"} 3.0' in page
    for marble_type in ("a", "b", "c"):  # every type with every UUID would be types times UUIDs
        labelled.activation_attempt(marble_type, "uuid-0")
    assert labelled.page().decode().count('uuid="uuid-0"') == 1


def test_events_are_the_newest() -> None:
    """The ring keeps the newest thousand, oldest first."""
    observer = made()
    for number in range(MAX_EVENTS + 5):
        observer.activation_success(replace(EVENT, uuid=str(number)))
    kept = [event.uuid for event in observer.events()]
    assert (len(kept), kept[0], kept[-1]) == (MAX_EVENTS, "5", str(MAX_EVENTS + 4))


def test_events_are_written_as_marblerun_writes_them() -> None:
    """An array with Go's times, or null."""
    assert events_json(()) == b"null\n"
    assert events_json((EVENT,)) == (
        b'[{"time":"2026-11-24T01:02:03.45Z","activation":'
        b'{"marbleType":"\\u003cb\\u003e","uuid":"u","quote":"AQI="}}]\n'
    )
    assert go_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05Z"


def test_requests_have_paths_of_ours_and_methods_of_http() -> None:
    """An unknown path is no label; a method that nobody knows is ``unknown``."""
    counted = made()
    counted.began("")
    counted.ended("", Message(), Message(status=405), 0.1)
    counted.began("/status")
    counted.ended("/status", Message(method="BREW", content_length=7), Message(content_length=150), 0.03)
    counted.began("/status")
    page = counted.page().decode()
    for line in (
        'server_client_api_http_request_total{code="200",method="unknown",path="/status"} 1.0',
        'duration_histogram_seconds_bucket{le="0.1",method="unknown",path="/status"} 1.0',
        'request_size_histogram_bytes_sum{path="/status"} 7.0',
        'response_size_histogram_bytes_bucket{le="100.0",path="/status"} 0.0',
        'server_client_api_http_in_flight_requests{path="/status"} 1.0',
    ):
        assert line in page
    assert 'path=""' not in page
    assert "405" not in page


def test_calls_are_counted_by_status() -> None:
    """Under the names that gRPC servers have everywhere."""
    counted = made()
    for code in (0, 7, 99):
        counted.call_began()
        counted.call_ended(code)
    page = counted.page().decode()
    labels = 'grpc_method="Activate",grpc_service="rpc.Marble",grpc_type="unary"'
    assert f"grpc_server_started_total{{{labels}}} 3.0" in page
    assert f"grpc_server_msg_sent_total{{{labels}}} 1.0" in page
    for name in ("OK", "PermissionDenied", "Unknown"):
        assert f'grpc_server_handled_total{{grpc_code="{name}",{labels}}} 1.0' in page


def test_the_life_of_collateral() -> None:
    """It is read for each page; a cache that cannot be read leaves the family empty, and the page whole."""
    good = True

    def values() -> Iterator[tuple[tuple[str, ...], float]]:
        yield ("pck-crl", "sgx", "pck-crl-sgx-platform", "standard"), -5.0
        if not good:
            raise CacheError("gone")

    counted = made()
    counted.watch_collateral(values)
    labels = 'kind="pck-crl",name="pck-crl-sgx-platform",tee="sgx",update="standard"'
    assert f"collateral_seconds_to_expiry{{{labels}}} -5.0" in counted.page().decode()
    good = False
    assert "collateral_seconds_to_expiry{" not in counted.page().decode()
    assert "coordinator_state 3.0" in counted.page().decode()
