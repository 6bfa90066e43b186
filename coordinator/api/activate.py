"""The marble port: protobuf in, protobuf out, the rest is the service's (marblerun-core 4.1, 4.4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from coordinator.api.errors import INTERNAL, row_of
from coordinator.api.grpc import GrpcError
from coordinator.api.routes import incident_words
from coordinator.domain.activation import MAX_MARBLE_TYPE_CHARS, ActivationRequest
from coordinator.errors import CoordinatorError, InvalidMarbleRequestError, UnauthenticatedError
from marbleops.wire import marble_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coordinator.api.routes import Caller

_log = structlog.get_logger("coordinator.marble")
_MAX_LOGGED = 64
MAX_UUID_CHARS = 64


def activate_handler(caller: Caller) -> Callable[[bytes, tuple[bytes, ...]], Awaitable[bytes]]:
    """Return the handler of ``/rpc.Marble/Activate``."""

    async def handle(message: bytes, peer_certificates: tuple[bytes, ...]) -> bytes:
        started = asyncio.get_running_loop().time()
        code, marble_type, uuid = "ok", "", ""
        try:
            call = _decode(message)
            marble_type, uuid = call.MarbleType[:_MAX_LOGGED], call.UUID[:_MAX_LOGGED]
            # A client that goes away takes its call out of the queue; what already runs is one step and ends.
            return await caller.run(lambda: _activate(caller, call, peer_certificates))
        except CoordinatorError as error:
            row = row_of(error)
            code = row.code
            raise GrpcError(row.grpc, str(error)) from error
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        except Exception as error:  # the outermost loop: its text stays in our log
            code, words = INTERNAL.code, incident_words()
            _log.error("activation_failed", incident=words, exc_info=error)
            raise GrpcError(INTERNAL.grpc, words) from error
        finally:
            elapsed = asyncio.get_running_loop().time() - started
            _log.info(
                "activate",
                marble=marble_type,
                uuid=uuid,
                code=code,
                milliseconds=round(elapsed * 1000, 1),
            )

    return handle


def _decode(message: bytes) -> marble_pb2.ActivationReq:
    call = marble_pb2.ActivationReq()
    try:
        call.ParseFromString(message)
    except DecodeError as error:
        raise InvalidMarbleRequestError("the activation request is no valid message") from error
    if len(call.MarbleType) > MAX_MARBLE_TYPE_CHARS or len(call.UUID) > MAX_UUID_CHARS:
        raise InvalidMarbleRequestError("invalid UUID or marble type: too long")
    return call


def _activate(caller: Caller, call: marble_pb2.ActivationReq, peer_certificates: tuple[bytes, ...]) -> bytes:
    if not peer_certificates:
        raise UnauthenticatedError
    request = ActivationRequest(
        marble_type=call.MarbleType, uuid=call.UUID, csr=call.CSR, peer_certificate=peer_certificates[0]
    )
    rendered = caller.service.activate(request, call.Quote)
    answer = marble_pb2.ActivationResp()
    answer.Parameters.Files.update(rendered.files)
    answer.Parameters.Env.update(rendered.env)
    answer.Parameters.Argv.extend(rendered.argv)
    return answer.SerializeToString()
