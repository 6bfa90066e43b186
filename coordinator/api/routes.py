"""Exact routes, one log line per request, and the place where errors become answers.

A path is known or it is not: no prefix, no trailing slash, no method beyond the ones listed, and everything
else is 405 as in MarbleRun, whose command line takes 405 for an older Coordinator (marblerun-core section
11).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog
from aiohttp import web

from coordinator.api import envelope
from coordinator.api.body import Bodies
from coordinator.api.errors import INTERNAL, Kind, Manner, details, row_of, shown
from coordinator.errors import CoordinatorError, RouteError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from coordinator.service import Service

_Answer = TypeVar("_Answer")
_log = structlog.get_logger("coordinator.rest")

OUTCOME = web.ResponseKey("outcome", str)
"""Set on a response by a handler whose answer has an outcome of its own, for the log line."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call works with: the service, and the executor for everything that may block."""

    service: Service
    executor: Executor
    bodies: Bodies = field(default_factory=Bodies)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _lines: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(1))
    )

    async def decide_for_anybody(self, line: str, work: Callable[[], _Answer]) -> _Answer:
        """Decide for somebody who need not say who they are: such calls wait in a *line* of their own.

        So at most one of a line stands before an owner or a marble, however many strangers call.
        """
        async with self._lines[line]:
            return await self.decide(work)

    async def decide(self, work: Callable[[], _Answer]) -> _Answer:
        """Run *work* that decides on a manifest; one at a time, so that it takes one thread at most."""
        async with self._turn:
            return await self.run(work)

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        """Run blocking *work* off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)


_incidents = itertools.count(1)


def incident_words() -> str:
    """Name an unexpected failure for caller and log alike; its text stays in the log (decision 8)."""
    return f"internal error, incident {next(_incidents)} of this process"


Handler = Callable[[Caller, web.BaseRequest], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; a path that ends with ``/*`` takes one more segment, and only one."""

    method: str
    path: str
    handler: Handler
    manner: Manner = Manner.V2


class Observer(Protocol):
    """Counts requests by path: that of a route, so that no stranger can make one up, or else an empty one."""

    def began(self, path: str) -> None:
        """Hear of a request."""

    def ended(
        self, path: str, request: web.BaseRequest, response: web.Response | None, seconds: float
    ) -> None:
        """Hear of the end of a request that began; without an answer if the server stops meanwhile."""


class Router:
    """The REST port's request handler, for ``aiohttp.web.Server``."""

    def __init__(self, caller: Caller, routes: Iterable[Route], observer: Observer | None = None) -> None:
        self._caller = caller
        self._routes = {(route.method, route.path): route for route in routes}
        self._observer = observer
        self.paths = frozenset(path for _, path in self._routes)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, whatever it is."""
        if self._observer is None:
            return (await self._timed(request))[0]
        path = next((path for path in _candidates(request) if path in self.paths), "")
        response, elapsed = None, 0.0
        self._observer.began(path)
        try:
            response, elapsed = await self._timed(request)
        finally:
            self._observer.ended(path, request, response, elapsed)
        return response

    async def _timed(self, request: web.BaseRequest) -> tuple[web.Response, float]:
        clock = asyncio.get_running_loop().time
        started = clock()
        routes = (self._routes.get((request.method, path)) for path in _candidates(request))
        response, code = await self._answer(request, next(filter(None, routes), None))
        elapsed = clock() - started
        _log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status,
            code=code,
            milliseconds=round(elapsed * 1000, 1),
        )
        return response, elapsed

    async def _answer(self, request: web.BaseRequest, route: Route | None) -> tuple[web.Response, str]:
        manner = Manner.V2 if route is None else route.manner
        try:
            if route is None:
                raise RouteError
            response = await route.handler(self._caller, request)
            return response, response.get(OUTCOME, "ok")
        except CoordinatorError as error:
            return _refused(error, manner)
        except Exception as error:  # noqa: BLE001 - the outermost loop; its text stays in our log
            words = incident_words()
            _log.error("request_failed", path=request.path, incident=words, exc_info=error)
            return envelope.refusal(INTERNAL.kind, INTERNAL.http, words), INTERNAL.code


def _candidates(request: web.BaseRequest) -> tuple[str, ...]:
    """Name the routes that would match: the exact one, and the one that takes a last segment."""
    path = request.rel_url.raw_path
    parent, _, last = path.rpartition("/")
    return (path, f"{parent}/*") if last else (path,)


def _refused(error: CoordinatorError, manner: Manner) -> tuple[web.Response, str]:
    row = row_of(error)
    http, kind = shown(row, manner)
    response = envelope.refusal(kind, http, str(error), details(error, row) if kind is Kind.FAIL else None)
    if http in {408, 413}:
        response.force_close()  # the rest of the body is not worth reading
    return response, row.code
