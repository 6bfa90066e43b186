"""How often one stranger may ask for a decision, and how many decisions and activations may wait.

A caller is an address, because nobody is asked who they are: one that floods uses up its own bucket and
leaves the others theirs. The number of addresses remembered is bounded; the queue bounds what all of them
together can cost.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coordinator.errors import BusyError, TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_IN_FLIGHT = 4
MAX_WAITING = 32
MAX_ADDRESSES = 4096
_IPV6_SITE = 64
"""An IPv6 site has 2^64 addresses for the asking, so they share a bucket."""


@dataclass(slots=True)
class ActivationGate:
    """So many activations at a time, behind a bounded queue.

    A call waits for its turn without a thread, and other calls find one free. With the usual limits on
    connections the queue has room for all of them; where it is set shorter, the rest is told to come back.
    """

    at_once: int = 3
    waiting: int = 480
    _waiting: int = 0
    _turns: asyncio.Semaphore | None = None

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a turn and take it.

        Raises:
            BusyError: too many wait already.
        """
        if self._turns is None:
            self._turns = asyncio.Semaphore(self.at_once)
        if self._waiting >= self.waiting:
            raise BusyError
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen: float


@dataclass(slots=True)
class UpdateGate:
    """A token bucket per address, and at most four updates in flight behind a bounded queue.

    A body is read before its call takes a place, so that no slow sender holds one.
    """

    burst: float = 60.0
    refill: float = 20.0
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    _waiting: int = 0
    _slots: asyncio.Semaphore | None = None

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Take a place.

        Raises:
            TooManyRequestsError: the queue is full.
        """
        if self._slots is None:
            self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        if self._waiting >= MAX_WAITING:
            raise TooManyRequestsError
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def spend(self, address: str | None, now: float) -> None:
        """Take a token of *address* at the time *now* (seconds, monotonic).

        Raises:
            TooManyRequestsError: its bucket is empty.
        """
        caller = caller_of(address)
        bucket = self._buckets.pop(caller, None) or _Bucket(tokens=self.burst, seen=now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.seen) * self.refill)
        bucket.seen = now
        self._buckets[caller] = bucket
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            raise TooManyRequestsError
        bucket.tokens -= 1


def caller_of(address: str | None) -> str:
    """Name the caller behind *address*: an IPv4 address, an IPv6 site, or everybody without one."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
    return str(parsed)
