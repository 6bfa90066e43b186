"""The marble port: protobuf in, protobuf out, the rest is the service's (marblerun-core 4.1, 4.4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog
from google.protobuf.message import DecodeError

from coordinator.api.errors import INTERNAL, row_of
from coordinator.api.gate import ActivationGate
from coordinator.api.grpc import GrpcError
from coordinator.api.routes import incident_words
from coordinator.domain.activation import MAX_MARBLE_TYPE_CHARS, ActivationRequest
from coordinator.errors import (
    BusyError,
    CoordinatorError,
    InvalidMarbleRequestError,
    UnauthenticatedError,
)
from marbleops.wire import marble_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coordinator.api.routes import Caller

_log = structlog.get_logger("coordinator.marble")
_MAX_LOGGED = 64
_MAX_REASON = 512
MAX_UUID_CHARS = 64


BUSY_SECONDS = 2.0
"""When to come back, for whom the queue had no place."""
_CANCELLED = 1
_OK = 0


class Observer(Protocol):
    """Counts calls by their gRPC status."""

    def call_began(self) -> None:
        """Hear of a call."""

    def call_ended(self, code: int) -> None:
        """Hear of its status."""


def activate_handler(
    caller: Caller, gate: ActivationGate | None = None, observer: Observer | None = None
) -> Callable[[bytes, tuple[bytes, ...]], Awaitable[bytes]]:
    """Return the handler of ``/rpc.Marble/Activate``."""
    turns = gate or ActivationGate()

    async def handle(message: bytes, peer_certificates: tuple[bytes, ...]) -> bytes:
        log = _CallLog(observer)
        try:
            call = _decode(message)
            log.marble, log.uuid = call.MarbleType[:_MAX_LOGGED], call.UUID[:_MAX_LOGGED]
            async with turns.enter():
                # A client that goes away takes its call out of the queue; what already runs is one step and
                # ends.
                answer = await _activate(caller, call, peer_certificates)
        except CoordinatorError as error:
            row = row_of(error)
            log.end(row.grpc, row.code, str(error)[:_MAX_REASON])
            retry = BUSY_SECONDS if isinstance(error, BusyError) else None
            raise GrpcError(row.grpc, str(error), retry_after=retry) from error
        except asyncio.CancelledError:
            log.end(_CANCELLED, "cancelled")
            raise
        except Exception as error:  # the outermost loop: its text stays in our log
            words = incident_words()
            _log.error("activation_failed", incident=words, exc_info=error)
            log.end(INTERNAL.grpc, INTERNAL.code)
            raise GrpcError(INTERNAL.grpc, words) from error
        log.end(_OK, "ok")
        return answer

    return handle


class _CallLog:
    """One call: its line in the log, and its status for who counts."""

    def __init__(self, observer: Observer | None) -> None:
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._observer = observer
        self.marble = self.uuid = ""
        if observer is not None:
            observer.call_began()

    def end(self, status: int, code: str, reason: str | None = None) -> None:
        """Write the line; *reason* is what the marble hears, which names no secret's value."""
        if self._observer is not None:
            self._observer.call_ended(status)
        milliseconds = round((self._clock() - self._started) * 1000, 1)
        why = {} if reason is None else {"reason": reason}
        _log.info("activate", marble=self.marble, uuid=self.uuid, code=code, **why, milliseconds=milliseconds)


def _decode(message: bytes) -> marble_pb2.ActivationReq:
    call = marble_pb2.ActivationReq()
    try:
        call.ParseFromString(message)
    except DecodeError as error:
        raise InvalidMarbleRequestError("the activation request is no valid message") from error
    if len(call.MarbleType) > MAX_MARBLE_TYPE_CHARS or len(call.UUID) > MAX_UUID_CHARS:
        raise InvalidMarbleRequestError("invalid UUID or marble type: too long")
    return call


async def _activate(
    caller: Caller, call: marble_pb2.ActivationReq, peer_certificates: tuple[bytes, ...]
) -> bytes:
    """Prepare brief activations on the event loop: threads that take turns cost more than they do.

    Only a write, where there is one, is left for another thread then: it waits for the disk.
    """
    if not peer_certificates:
        raise UnauthenticatedError
    request = ActivationRequest(
        marble_type=call.MarbleType, uuid=call.UUID, csr=call.CSR, peer_certificate=peer_certificates[0]
    )
    marbles, quote = caller.service.marbles, call.Quote
    if not marbles.is_brief(request.marble_type):
        rendered = await caller.run(lambda: marbles.activate(request, quote))
    else:
        prepared = marbles.prepare(request, quote)
        if prepared.writes:
            rendered = await caller.run(lambda: marbles.finish(prepared))
        else:
            rendered = marbles.finish(prepared)
    answer = marble_pb2.ActivationResp()
    answer.Parameters.Files.update(rendered.files)
    answer.Parameters.Env.update(rendered.env)
    answer.Parameters.Argv.extend(rendered.argv)
    return answer.SerializeToString()
