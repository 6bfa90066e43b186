"""Wake up at once when something changes on this machine: a push, a dropped approval, a person's acceptance.

A hint only: it starts an ordinary run, and what is missed is found at the next interval.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from reconciler import limits

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

    from reconciler.settings import Target

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""What changes content; opening and reading, as our own fetch does, is left out."""


class Wakeups:
    """Which targets should be looked at now; written by watchers and signals, read by the loop."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._names: set[str] = set()
        self._count = 0
        self._stopping = False

    def is_stopping(self) -> bool:
        """Whether the process is asked to end."""
        return self._stopping

    def wake(self, name: str) -> None:
        """Ask for a run of target *name*."""
        with self._condition:
            self._names.add(name)
            self._count += 1
            self._condition.notify_all()

    def stop(self) -> None:
        """Ask the loop to end. Safe in a signal handler: takes no lock."""
        self._stopping = True

    def wait(self, seconds: float) -> frozenset[str]:
        """Wait until a target is named, we are stopping, or *seconds* are over; returns the named ones.

        Slices bound how long a stop that a signal asked for stays unseen: ``Condition.wait`` goes on after a
        signal handler returns.
        """
        left = seconds
        with self._condition:
            while left > 0 and not self._names and not self._stopping:
                part = min(left, 0.2)
                self._condition.wait(part)
                left -= part
            if not self._names:
                return frozenset()
            for _ in range(10):  # a push writes several refs: look when they are all there
                before = self._count
                self._condition.wait(limits.DEBOUNCE_SECONDS)
                if self._count == before:
                    break
            names = frozenset(self._names)
            self._names.clear()
            return names


class Handler(FileSystemEventHandler):
    """Turns events of one folder into wake-ups; *only* names the one file that matters there."""

    def __init__(self, wakeups: Wakeups, target: str, only: str | None) -> None:
        self._wakeups = wakeups
        self._target = target
        self._only = only

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the target, unless the event is of another file or of a lock."""
        places = {Path(str(place)).name for place in (event.src_path, event.dest_path) if place}
        if self._only is not None and self._only not in places:
            return
        if all(name.endswith(".lock") for name in places):
            return
        self._wakeups.wake(self._target)


class Watcher:
    """Watches the folders of all targets with one observer thread."""

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._observer: BaseObserver = Observer()
        self._watched: set[tuple[str, Path]] = set()
        self._observer.start()

    def watch(self, target: Target) -> tuple[str, ...]:
        """Watch what exists by now of *target*'s folders; returns complaints, which cost only speed."""
        complaints = []
        for folder, recursive, only in _folders(target):
            if (target.name, folder) in self._watched or not folder.is_dir():
                continue
            handler = Handler(self._wakeups, target.name, only)
            try:
                self._observer.schedule(handler, str(folder), recursive=recursive, event_filter=_EVENTS)
                self._watched.add((target.name, folder))
            except OSError as error:
                complaints.append(f"cannot watch {folder}: {error.strerror}; polling only")
        return tuple(complaints)

    def stop(self) -> None:
        """End the observer thread."""
        self._observer.stop()
        self._observer.join(5.0)


def _folders(target: Target) -> tuple[tuple[Path, bool, str | None], ...]:
    """Name folders, whether their sub-folders too, and the one file name that matters there."""
    rows: list[tuple[Path, bool, str | None]] = [(target.folder, False, "accept.json")]
    if target.approvals is not None:
        rows.append((target.approvals, False, None))
    local = target.repository.local
    if local is not None:
        git = local / ".git" if (local / ".git").is_dir() else local
        rows += [(git / "refs", True, None), (git, False, "packed-refs")]
    return tuple(rows)
