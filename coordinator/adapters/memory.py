"""A store in memory, for tests and for nothing else: it forgets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemoryStore:
    """Keeps blobs and pointers in one dictionary."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """Return the value of *name*, or None."""
        with self._lock:
            return self._values.get(name)

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Add the *blobs* that are new."""
        with self._lock:
            for name, value in blobs.items():
                self._values.setdefault(name, value)

    def has(self, name: str) -> bool:
        """Say whether *name* exists."""
        with self._lock:
            return name in self._values

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Set *name* to *new* if it is *old*."""
        with self._lock:
            if self._values.get(name) != old:
                return False
            self._values[name] = new
            return True

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that start with *prefix*, sorted."""
        with self._lock:
            return tuple(sorted(name for name in self._values if name.startswith(prefix)))
