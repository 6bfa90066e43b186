"""When a target is looked at: at once when it changes, at its interval, and with backoff after a failure.

The process is synchronous: one run at a time. Only the file watcher and the health server have threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler import limits
from reconciler.disk import remove_leftovers
from reconciler.log import line_of
from reconciler.outcome import Outcome
from reconciler.pipeline import reconcile
from reconciler.status import Report, write_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import structlog

    from reconciler.health import Health
    from reconciler.ports import Coordinator
    from reconciler.settings import Target
    from reconciler.system import System
    from reconciler.watch import Wakeups, Watcher


@dataclass(slots=True, kw_only=True)
class Worker:
    """One target between its runs."""

    target: Target
    coordinator: Coordinator
    due: float = 0.0
    failures: int = 0
    last: tuple[object, ...] = field(default=())


def run_once(worker: Worker, *, system: System, log: structlog.stdlib.BoundLogger, health: Health) -> Report:
    """Reconcile one target, write its status, log one line, and set when it is due again.

    Raises:
        OSError: our own disk fails.
    """
    steps: dict[str, dict[str, Any]] = {}
    started = system.monotonic()

    def note(step: str, **values: Any) -> None:
        seen = {name: value for name, value in values.items() if value is not None}
        steps[str(step)] = {"ms": round((system.monotonic() - started) * 1000), **seen}

    prepare(worker)
    report = reconcile(worker.target, coordinator=worker.coordinator, system=system, note=note)
    document = write_status(worker.target.status_file, report)
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in document["conditions"])
    health.tell(report, ready=ready)
    now = (report.outcome, report.reason, report.message, report.commit)
    if now != worker.last:  # a poll that finds nothing new is no news
        line = line_of(report, steps) | {"ms": round((system.monotonic() - started) * 1000)}
        quiet = report.outcome in {Outcome.ENFORCED, Outcome.WAITING}
        (log.info if quiet else log.warning)(report.step.value, **line)
    worker.last = now
    worker.failures = worker.failures + 1 if report.outcome is Outcome.RETRYING else 0
    worker.due = system.monotonic() + delay(worker, report, system)
    return report


def prepare(worker: Worker) -> None:
    """Make the target's folder and remove what a killed run left half written.

    Raises:
        OSError: the file system refuses.
    """
    worker.target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_leftovers(worker.target.folder)


def delay(worker: Worker, report: Report, system: System) -> float:
    """Return the seconds until the next run: the interval, or the backoff after what may heal."""
    if report.outcome is not Outcome.RETRYING:
        return system.jitter(worker.target.interval)
    backoff = limits.BACKOFF_FIRST * 2.0 ** min(worker.failures - 1, 16)
    return system.jitter(min(backoff, limits.BACKOFF_LIMIT))


def run_forever(
    workers: Mapping[str, Worker],
    *,
    wakeups: Wakeups,
    watcher: Watcher,
    system: System,
    log: structlog.stdlib.BoundLogger,
    health: Health,
    ready: Callable[[], None],
) -> None:
    """Reconcile until *wakeups* says stop. *ready* is called once everything is watched.

    Raises:
        OSError: our own disk fails; nothing may be promised then.
    """
    for worker in workers.values():
        prepare(worker)
        for complaint in watcher.watch(worker.target):
            log.warning("watch", target=worker.target.name, detail=complaint)
    ready()
    while not wakeups.is_stopping():
        health.beat()
        first = min(worker.due for worker in workers.values())
        woken = wakeups.wait(max(0.0, min(first - system.monotonic(), 30.0)))
        for name, worker in workers.items():
            if wakeups.is_stopping():
                return
            if name in woken or worker.due <= system.monotonic():
                watcher.watch(worker.target)
                run_once(worker, system=system, log=log, health=health)
