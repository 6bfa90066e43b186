"""Exact routes, one log line per request, and the place where errors become answers.

A path is known or it is not: no prefix, no trailing slash, no method beyond the ones listed, and everything
else is 405 as in MarbleRun, whose command line takes 405 for an older Coordinator (marblerun-core section
11).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import structlog
from aiohttp import web

from coordinator.api import envelope
from coordinator.api.body import Bodies
from coordinator.api.errors import INTERNAL, row_of
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


class Router:
    """The REST port's request handler, for ``aiohttp.web.Server``."""

    def __init__(self, caller: Caller, routes: Iterable[Route]) -> None:
        self._caller = caller
        self._routes = {(route.method, route.path): route.handler for route in routes}

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, whatever it is."""
        started = asyncio.get_running_loop().time()
        try:
            response = await self._find(request)(self._caller, request)
            code = response.get(OUTCOME, "ok")
        except CoordinatorError as error:
            row = row_of(error)
            code = row.code
            data = {"reason": row.code} if row.http in {403, 404, 408, 409, 413, 422, 429} else None
            response = envelope.refusal(row.kind, row.http, str(error), data)
            if row.http in {408, 413}:
                response.force_close()  # the rest of the body is not worth reading
        except Exception as error:  # noqa: BLE001 - the outermost loop; its text stays in our log
            code, words = INTERNAL.code, incident_words()
            _log.error("request_failed", path=request.path, incident=words, exc_info=error)
            response = envelope.refusal(INTERNAL.kind, INTERNAL.http, words)
        elapsed = asyncio.get_running_loop().time() - started
        _log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status,
            code=code,
            milliseconds=round(elapsed * 1000, 1),
        )
        return response

    def _find(self, request: web.BaseRequest) -> Handler:
        path = request.rel_url.raw_path
        parent, _, last = path.rpartition("/")
        found = self._routes.get((request.method, path))
        if found is None and last:
            found = self._routes.get((request.method, f"{parent}/*"))
        if found is None:
            raise RouteError
        return found
