"""When a target is due again, what wakes it, and what health answers."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from watchdog.events import FileModifiedEvent, FileMovedEvent

from reconciler import limits
from reconciler.evidence import read_directory
from reconciler.fetch_child import FetchAnswer
from reconciler.health import Health
from reconciler.loop import Worker, delay
from reconciler.outcome import Outcome
from reconciler.system import System
from reconciler.watch import Handler, Wakeups

if TYPE_CHECKING:
    from reconciler.status import Report


class _Report:
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _Target:
    interval = 10.0


def middle(size: int) -> bytes:
    """Return bytes that make jitter nothing."""
    return b"\x80\x00"[:size]


SYSTEM = System(now=cast("Any", None), monotonic=lambda: 0.0, entropy=middle)


def wait_after(outcome: Outcome, failures: int = 0) -> float:
    """Return the delay after an outcome."""
    worker = Worker(target=cast("Any", _Target()), coordinator=cast("Any", None), failures=failures)
    return delay(worker, cast("Report", _Report(outcome)), SYSTEM)


def test_backoff_doubles_up_to_its_limit() -> None:
    """Only what may heal is tried again soon, and ever more seldom."""
    waits = [wait_after(Outcome.RETRYING, failures) for failures in (1, 2, 3, 30)]
    assert waits == pytest.approx([0.5, 1.0, 2.0, limits.BACKOFF_LIMIT], rel=0.01)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.RETRYING])
def test_everything_else_waits_for_the_interval(outcome: Outcome) -> None:
    """A stalled or refused target is not hammered."""
    assert wait_after(outcome) == pytest.approx(10.0, rel=0.01)


def test_jitter_stays_within_a_tenth() -> None:
    """The spread is a tenth either way."""
    for raw, expected in ((b"\x00", 9.0), (b"\xff", 11.0)):
        system = System(now=SYSTEM.now, monotonic=SYSTEM.monotonic, entropy=raw.__mul__)
        assert system.jitter(10.0) == pytest.approx(expected)


def test_locks_do_not_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git's lock files are ignored; the rename that publishes a ref is not."""
    monkeypatch.setattr(limits, "DEBOUNCE_SECONDS", 0.001)
    wakeups = Wakeups()
    handler = Handler(wakeups, "prod", None)
    handler.on_any_event(FileModifiedEvent("/r/refs/heads/main.lock"))
    assert wakeups.wait(0.0) == frozenset()
    handler.on_any_event(FileMovedEvent("/r/refs/heads/main.lock", "/r/refs/heads/main"))
    assert wakeups.wait(0.0) == {"prod"}
    only = Handler(wakeups, "prod", "accept.json")
    only.on_any_event(FileModifiedEvent("/s/status.json"))
    assert wakeups.wait(0.0) == frozenset()
    only.on_any_event(FileMovedEvent("/s/.accept.json.1.new", "/s/accept.json"))
    assert wakeups.wait(0.0) == {"prod"}


def test_stop_ends_waiting() -> None:
    """A stop is seen without waiting for the time to pass."""
    wakeups = Wakeups()
    wakeups.stop()
    assert wakeups.wait(60.0) == frozenset()
    assert wakeups.is_stopping()


def test_health_before_the_first_run() -> None:
    """Alive at once, ready only when every target is; a silent loop is not alive."""
    clock = [0.0]
    health = Health(lambda: clock[0])
    health.expect("prod")
    assert health.answer("/healthz")[0] is HTTPStatus.OK
    assert health.answer("/readyz")[0] is HTTPStatus.SERVICE_UNAVAILABLE
    assert health.answer("/secret")[0] is HTTPStatus.NOT_FOUND
    clock[0] = 1000.0
    assert health.answer("/healthz")[0] is HTTPStatus.SERVICE_UNAVAILABLE
    health.beat()
    assert health.answer("/healthz")[0] is HTTPStatus.OK


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"failure": 1, "message": "", "changed": 0}', b"\xff"])
def test_childs_answer_is_not_trusted(raw: bytes) -> None:
    """Anything but the agreed words is an error."""
    with pytest.raises(ValueError, match=r"."):
        FetchAnswer.decode(raw)


def test_drop_directory_leaves_out_what_it_cannot_read(tmp_path: Path) -> None:
    """One bad file is named and costs nothing else."""
    assert read_directory(tmp_path / "none").pieces == ()
    (tmp_path / "alice.sig").write_text("armor")
    (tmp_path / "alice.key-proof.sig").write_text("armor")
    (tmp_path / "bad name.sig").write_text("armor")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{}")
    (tmp_path / "huge.tag").write_bytes(b"x" * 100_000)
    (tmp_path / "one.commit").write_bytes(b"tree")
    found = read_directory(tmp_path)
    assert len(found.pieces) == 3
    assert [Path(text.split(":")[0]).name for text in found.complaints] == ["broken.json", "huge.tag"]
