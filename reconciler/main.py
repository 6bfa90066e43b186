"""Put the parts together and run them: ``marbleops reconciler run [--once] --config FILE``."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from reconciler.disk import DiskError, exclusive, write_json
from reconciler.health import Health, HealthServer
from reconciler.log import make_logger
from reconciler.loop import Worker, run_forever, run_once
from reconciler.outcome import Outcome
from reconciler.remote import RemoteCoordinator
from reconciler.settings import Settings, SettingsError, read_settings
from reconciler.state import Acceptance, write_acceptance
from reconciler.status import read_status
from reconciler.system import REAL
from reconciler.watch import Wakeups, Watcher

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    import structlog

EXIT_ENFORCED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_PENDING = 4

_EXIT = {
    Outcome.ENFORCED: EXIT_ENFORCED,
    Outcome.WAITING: EXIT_PENDING,
    Outcome.RETRYING: EXIT_PENDING,
    Outcome.REFUSED: EXIT_REFUSED,
    Outcome.SUPERSEDED: EXIT_REFUSED,
    Outcome.STALLED: EXIT_REFUSED,
}


def run(config: Path, *, once: bool) -> int:
    """Run the reconciler; returns the exit code.

    With *once*: 0 all targets are enforced, 3 one is refused or stalled, 4 one waits or may heal; the largest
    wins. Else 0 after SIGTERM or SIGINT. 1: our own disk failed, or another reconciler uses the folder.
    2: the configuration is refused.
    """
    log = make_logger(REAL)
    try:
        settings = read_settings(config)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    try:
        with exclusive(settings.state / "lock") as ours:
            if not ours:
                sys.stderr.write(f"{settings.state}: another reconciler uses this folder\n")
                return EXIT_FAILED
            return _run(settings, once=once, log=log)
    except OSError as error:
        log.error("status", outcome="Failed", detail=str(error))  # noqa: TRY400  one line, no traceback
        return EXIT_FAILED


def accept(config: Path, target: str | None = None) -> str:
    """Accept the Coordinator that *target*'s status shows as changed; returns its root's fingerprint.

    Raises:
        SettingsError: the configuration is refused, or the status shows no changed Coordinator.
    """
    chosen = read_settings(config).target(target)
    try:
        status = read_status(chosen.status_file)
    except DiskError as error:
        raise SettingsError(str(error)) from error
    root = (status or {}).get("coordinator", {}).get("root")
    if status is None or status.get("reason") != "CoordinatorChanged" or not isinstance(root, str):
        raise SettingsError(f"target {chosen.name}: no changed Coordinator waits for acceptance")
    write_acceptance(chosen, Acceptance(root=root), at=REAL.now())
    return root


def _run(settings: Settings, *, once: bool, log: structlog.stdlib.BoundLogger) -> int:
    health = Health(REAL.monotonic)
    workers = {
        target.name: Worker(target=target, coordinator=RemoteCoordinator(target.coordinator))
        for target in settings.targets
    }
    for name in workers:
        health.expect(name)
    try:
        if once:
            reports = [run_once(worker, system=REAL, log=log, health=health) for worker in workers.values()]
            return max(_EXIT[report.outcome] for report in reports)
        return _serve(settings, workers, log=log, health=health)
    finally:
        for worker in workers.values():
            worker.coordinator.close()


def _serve(
    settings: Settings, workers: dict[str, Worker], *, log: structlog.stdlib.BoundLogger, health: Health
) -> int:
    wakeups = Wakeups()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        wakeups.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server = None if settings.health is None else HealthServer(settings.health, health)
    watcher = Watcher(wakeups)

    def ready() -> None:
        if settings.ready_file is not None:
            document = {"pid": os.getpid(), "health": None if server is None else server.url}
            write_json(settings.ready_file, document, mode=0o644)

    try:
        run_forever(
            workers, wakeups=wakeups, watcher=watcher, system=REAL, log=log, health=health, ready=ready
        )
    finally:
        watcher.stop()
        if server is not None:
            server.close()
    return EXIT_ENFORCED
