"""Ledger changes that come together are written together, and each has its own answer."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.errors import CounterRefusedError, StoreError
from tests.fakes import mesh
from tests.fakes.small_world import SmallWorld

if TYPE_CHECKING:
    from coordinator.domain.state import Ledger


class SlowStore(MemoryStore):
    """Holds the next pointer write until it is let go; then it may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.reached = threading.Event(), threading.Event()
        self.swaps, self.fails = 0, False

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        self.swaps += 1
        self.reached.set()
        assert self.held.wait(5)
        if self.fails:
            raise StoreError("full")
        return super().compare_and_swap(name, old, new)


def _count(ledger: Ledger) -> Ledger:
    counted = ledger.activations.get("a", 0) + 1
    return replace(ledger, activations=MappingProxyType({"a": counted}))


def _refuse(_: Ledger) -> Ledger:
    raise CounterRefusedError("no")


@pytest.mark.parametrize("fails", [False, True])
def test_changes_share_a_write(*, fails: bool) -> None:
    """While one write runs the next changes gather; a refused one costs the others nothing."""
    store = SlowStore()
    store.held.set()
    world = SmallWorld(store=store)
    service = world.open()
    service.set_manifest(mesh.manifest())
    guard = service._core.guard
    state = guard.current
    store.held.clear()
    store.reached.clear()
    before = store.swaps
    outcomes: list[str] = []

    def run(change: object) -> None:
        try:
            guard.commit_ledger(state, change)  # type: ignore[arg-type]
            outcomes.append("done")
        except (CounterRefusedError, StoreError) as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(_count,))]
    threads[0].start()
    assert store.reached.wait(5)
    threads += [threading.Thread(target=run, args=(change,)) for change in (_count, _refuse, _count)]
    for thread in threads[1:]:
        thread.start()
    while len(guard._tickets) < 3:
        assert all(thread.is_alive() for thread in threads)
    store.fails = fails
    store.held.set()
    for thread in threads:
        thread.join(5)
    assert store.swaps == before + 2
    failed = "the state pointer could not be written; nothing changed"
    assert sorted(outcomes) == sorted(["no", *([failed] * 3 if fails else ["done"] * 3)])
    assert guard.current.ledger.activations.get("a", 0) == (0 if fails else 3)
    store.fails = False
    assert world.open().snapshot().ledger.activations == guard.current.ledger.activations


def test_who_changes_nothing_waits_for_nobody() -> None:
    """A change that leaves the ledger as it is ends while another one is being written."""
    store = SlowStore()
    store.held.set()
    service = SmallWorld(store=store).open()
    service.set_manifest(mesh.manifest())
    guard = service._core.guard
    state = guard.current
    store.held.clear()
    store.reached.clear()
    writer = threading.Thread(target=guard.commit_ledger, args=(state, _count))
    writer.start()
    assert store.reached.wait(5)
    guard.commit_ledger(state, lambda ledger: ledger)
    assert writer.is_alive()
    assert guard.current is state
    store.held.set()
    writer.join(5)
    assert guard.current.ledger.activations == {"a": 1}
