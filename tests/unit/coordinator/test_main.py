"""What the composition root does when the state may no longer be what is durable."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.errors import StoreError
from coordinator.main import end_in_doubt
from tests.fakes import shop
from tests.fakes.crashing_store import CrashingStore
from tests.fakes.small_world import SmallWorld


def test_a_write_in_doubt_ends_the_process() -> None:
    """After a swap whose outcome nobody can tell nothing is answered, and the servers are stopped."""
    store = CrashingStore(MemoryStore(), crash_at=3)
    world = SmallWorld(store=store)
    guard = world.load()
    service = world.open(guard)
    first = shop.manifest()

    with pytest.raises(StoreError):
        service.update(first, shop.genesis_evidence(first), dry_run=False, source=None)

    assert guard.in_doubt
    with pytest.raises(StoreError):
        service.status()

    async def ends() -> bool:
        stop = asyncio.Event()
        await asyncio.wait_for(end_in_doubt(stop, guard), 5)
        return stop.is_set()

    assert asyncio.run(ends())


def test_a_signal_ends_the_watch() -> None:
    """With the state in order the watch ends when the process is told to stop."""
    guard = SmallWorld().load()

    async def ends() -> bool:
        stop = asyncio.Event()
        stop.set()
        await asyncio.wait_for(end_in_doubt(stop, guard), 5)
        return guard.in_doubt

    assert not asyncio.run(ends())
