"""Accepting connections so that one source cannot take all places, and a storm waits instead of failing.

So many connections are served at one time; of one source (an IPv4 address, an IPv6 site) only a part of them.
What comes while all places are taken waits in the kernel's queue. What comes from a source that has its part
is parked: a descriptor and nothing else, until a place of that source is free. So the places left are for
everybody else, and ten thousand marbles behind one address are served all the same, one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coordinator.api.gate import caller_of

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 4096
"""Asked of the kernel, which may give less (``net.core.somaxconn``)."""
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenLimits:
    """How many connections one listener has, in all and for one source."""

    connections: int = 480
    """Served at one time (45 kB each when idle). Two listeners and the rest of the process stay below the
    usual 1024 descriptors, so that strangers leave none wanting."""
    connections_per_source: int = 360
    """Of those, for one source; the rest is everybody else's."""
    parked: int = 0
    """Accepted but not begun, of all sources together; a source's further ones are closed. Each takes a
    descriptor."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen on *host* (empty: every address) and *port* (0: any).

    Raises:
        OSError: the address cannot be bound.
    """
    if host in ("", "::") and socket.has_dualstack_ipv6():
        listening = socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listening.setblocking(False)  # noqa: FBT003
    return listening


class Listener:
    """Accepts until it is closed. *make* makes the protocol of a connection, which gives its place back."""

    def __init__(
        self,
        listening: socket.socket,
        limits: ListenLimits,
        make: Callable[[Callable[[], None]], asyncio.Protocol],
    ) -> None:
        self._listening = listening
        self._limits = limits
        self._make = make
        self._places = asyncio.Semaphore(limits.connections)
        self._active: Counter[str] = Counter()
        self._parked: dict[str, deque[socket.socket]] = {}
        self._parked_count = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_task(self._accept())

    @property
    def closed(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._accepting.done()

    def close(self) -> None:
        """Stop listening; what was only parked is closed."""
        self._accepting.cancel()
        for waiting in self._parked.values():
            for accepted in waiting:
                accepted.close()
        self._parked.clear()
        self._parked_count = 0

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._accepting

    async def _accept(self) -> None:
        with self._listening:
            while True:
                await self._places.acquire()
                try:
                    accepted, address = await self._loop.sock_accept(self._listening)
                except OSError:  # the peer is gone again, or no descriptor is free until another one ends
                    self._places.release()
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                except asyncio.CancelledError:
                    self._places.release()
                    raise
                source = caller_of(address[0])
                if self._active[source] < self._limits.connections_per_source:
                    await self._begin(accepted, source)
                else:
                    self._places.release()
                    self._park(accepted, source)

    def _park(self, accepted: socket.socket, source: str) -> None:
        if self._parked_count >= self._limits.parked:
            accepted.close()
            return
        self._parked_count += 1
        self._parked.setdefault(source, deque()).append(accepted)

    async def _begin(self, accepted: socket.socket, source: str) -> None:
        """Serve a connection on a place that is held already."""
        self._active[source] += 1
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(lambda: self._end(source)), accepted)
        except OSError:  # reset before it began
            accepted.close()
            self._end(source)

    def _end(self, source: str) -> None:
        """Give the place of a connection to the source's next one, or back to everybody."""
        self._active[source] -= 1
        if not self._active[source]:
            del self._active[source]
        waiting = self._parked.get(source)
        if waiting is None:
            self._places.release()
            return
        accepted = waiting.popleft()
        self._parked_count -= 1
        if not waiting:
            del self._parked[source]
        task = self._loop.create_task(self._begin(accepted, source))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
