"""The two listeners: REST under the root certificate, marbles under the marble root (marblerun-core 3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from coordinator.api import gitops, rest_v1, rest_v2
from coordinator.api.activate import activate_handler
from coordinator.api.grpc import GrpcLimits, finish_marble, marble_protocol
from coordinator.api.routes import Caller, Router
from coordinator.api.tls import TlsLimits, TlsServer, make_context, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from OpenSSL import SSL

    from coordinator.api import activate, routes
    from coordinator.api.gate import ActivationGate
    from coordinator.domain.pki import Authorities, KeyPair
    from coordinator.service import Service

    class Observer(routes.Observer, activate.Observer, Protocol):
        """Counts what both listeners answer."""


_KEEPALIVE_SECONDS = 55.0
"""Below the 60 s of the TLS layer, so that HTTP ends an idle connection in order."""


async def serve_rest(
    caller: Caller, *, host: str, port: int, limits: TlsLimits, observer: Observer | None = None
) -> TlsServer:
    """Listen for people, tools and reconcilers.

    Raises:
        OSError: the address cannot be bound.
    """
    router = Router(caller, (*rest_v1.routes(), *rest_v2.routes(), *gitops.routes()), observer)
    return await serve(
        host=host,
        port=port,
        context_factory=_Identity(
            caller.service, lambda authorities: authorities.root, alpn=b"http/1.1", marbles=False
        ).context,
        # Bodies are taken as they come: what a stranger compressed is not blown up here.
        protocol_factory=web.Server(
            router, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS, auto_decompress=False
        ),
        limits=limits,
        finish=_FinishHttp(limits.finish_seconds),
    )


async def serve_mesh(
    caller: Caller,
    *,
    host: str,
    port: int,
    limits: TlsLimits,
    gate: ActivationGate | None = None,
    observer: Observer | None = None,
) -> TlsServer:
    """Listen for marbles.

    Raises:
        OSError: the address cannot be bound.
    """
    handler = activate_handler(caller, gate, observer)
    return await serve(
        host=host,
        port=port,
        context_factory=_Identity(
            caller.service, lambda authorities: authorities.marble_root, alpn=b"h2", marbles=True
        ).context,
        protocol_factory=marble_protocol(handler, GrpcLimits()),
        limits=limits,
        finish=finish_marble,
    )


class _FinishHttp:
    """Lets a connection end after its running request; an idle one at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ending: set[asyncio.Task[None]] = set()

    def __call__(self, protocol: asyncio.Protocol) -> None:
        assert isinstance(protocol, web.RequestHandler)
        protocol.close()
        task = asyncio.get_running_loop().create_task(protocol.shutdown(self._seconds))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Identity:
    """A port's TLS identity: recovery changes the root, every update the marble root. Made once for each."""

    def __init__(
        self, service: Service, choose: Callable[[Authorities], KeyPair], *, alpn: bytes, marbles: bool
    ) -> None:
        self._service = service
        self._choose = choose
        self._alpn = alpn
        self._marbles = marbles
        self._made_for: KeyPair | None = None
        self._context: SSL.Context | None = None

    def context(self) -> SSL.Context:
        pair = self._choose(self._service.snapshot().authorities)
        if self._context is None or self._made_for is not pair:
            self._context = make_context(
                certificates_pem=pair.certificate_pem,
                key_pem=pair.key_pem,
                alpn=(self._alpn,),
                require_client_certificate=self._marbles,
            )
            self._made_for = pair
        return self._context
