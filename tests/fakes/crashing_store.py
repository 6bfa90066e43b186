"""A store that crashes: the real thing until the chosen write, then it dies before, within or after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from coordinator.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.ports import Store


class Moment(Enum):
    """When the crash happens, seen from the write."""

    BEFORE = auto()
    WITHIN = auto()
    """Half of the blobs are written: no store of ours does that, so nothing may rely on it."""
    AFTER = auto()
    """The write is durable, but its answer is lost."""


@dataclass(slots=True)
class CrashingStore:
    """Wraps a store; with ``crash_at`` n the n-th write from now crashes, and every call after it fails."""

    inner: Store
    crash_at: int | None = None
    moment: Moment = Moment.BEFORE
    writes: int = 0
    dead: bool = False

    def get(self, name: str) -> bytes | None:
        self._alive()
        return self.inner.get(name)

    def has(self, name: str) -> bool:
        self._alive()
        return self.inner.has(name)

    def list(self, prefix: str) -> tuple[str, ...]:
        self._alive()
        return self.inner.list(prefix)

    def put(self, blobs: Mapping[str, bytes]) -> None:
        if not self._crashes():
            self.inner.put(blobs)
            return
        if self.moment is Moment.AFTER:
            self.inner.put(blobs)
        elif self.moment is Moment.WITHIN:
            self.inner.put(dict(list(blobs.items())[: len(blobs) // 2]))
        raise StoreError("crashed")

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        if not self._crashes():
            return self.inner.compare_and_swap(name, old, new)
        if self.moment is Moment.AFTER:
            self.inner.compare_and_swap(name, old, new)
        raise StoreError("crashed")

    def _alive(self) -> None:
        if self.dead:
            raise StoreError("crashed before")

    def _crashes(self) -> bool:
        self._alive()
        self.writes += 1
        self.dead = self.writes == self.crash_at
        return self.dead
