"""Turns: who waits for whom when many decide at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

from coordinator.api.routes import Caller

if TYPE_CHECKING:
    from coordinator.service import Service


def test_strangers_stand_in_a_line_of_their_own() -> None:
    """However many set a manifest or recover, an owner waits for one of each and for no more."""
    order: list[str] = []

    async def storm() -> None:
        with ThreadPoolExecutor(1) as executor:
            caller = Caller(cast("Service", None), executor)
            async with asyncio.TaskGroup() as group:
                for line in ("manifest", "recover") * 20:
                    group.create_task(caller.decide_for_anybody(line, partial(order.append, line)))
                await asyncio.sleep(0)
                group.create_task(caller.decide(partial(order.append, "owner")))

    asyncio.run(storm())
    assert order.index("owner") <= 3
    assert len(order) == 41
