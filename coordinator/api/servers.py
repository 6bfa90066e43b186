"""The two listeners: REST under the root certificate, marbles under the marble root (marblerun-core 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from coordinator.api import gitops, rest_v2
from coordinator.api.activate import activate_handler
from coordinator.api.grpc import GrpcLimits, marble_protocol
from coordinator.api.routes import Caller, Router
from coordinator.api.tls import TlsLimits, TlsServer, make_context, serve

if TYPE_CHECKING:
    from OpenSSL import SSL

    from coordinator.domain.pki import KeyPair
    from coordinator.service import Service

_KEEPALIVE_SECONDS = 55.0
"""Below the 60 s of the TLS layer, so that HTTP ends an idle connection in order."""


async def serve_rest(caller: Caller, *, host: str, port: int) -> TlsServer:
    """Listen for people, tools and reconcilers.

    Raises:
        OSError: the address cannot be bound.
    """
    router = Router(caller, (*rest_v2.routes(), *gitops.routes()))
    root = caller.service.snapshot().authorities.root
    context = make_context(
        certificates_pem=root.certificate_pem,
        key_pem=root.key_pem,
        alpn=(b"http/1.1",),
        require_client_certificate=False,
    )
    return await serve(
        host=host,
        port=port,
        context_factory=lambda: context,
        # Bodies are taken as they come: what a stranger compressed is not blown up here.
        protocol_factory=web.Server(
            router, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS, auto_decompress=False
        ),
        limits=TlsLimits(),
    )


async def serve_mesh(caller: Caller, *, host: str, port: int) -> TlsServer:
    """Listen for marbles.

    Raises:
        OSError: the address cannot be bound.
    """
    return await serve(
        host=host,
        port=port,
        context_factory=_MeshIdentity(caller.service).context,
        protocol_factory=marble_protocol(activate_handler(caller), GrpcLimits()),
        limits=TlsLimits(),
    )


class _MeshIdentity:
    """The marble port's TLS identity, which every update renews; its context is made once for each."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made_for: KeyPair | None = None
        self._context: SSL.Context | None = None

    def context(self) -> SSL.Context:
        marble_root = self._service.snapshot().authorities.marble_root
        if self._context is None or self._made_for is not marble_root:
            self._context = make_context(
                certificates_pem=marble_root.certificate_pem,
                key_pem=marble_root.key_pem,
                alpn=(b"h2",),
                require_client_certificate=True,
            )
            self._made_for = marble_root
        return self._context
