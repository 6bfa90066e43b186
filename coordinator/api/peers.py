"""Who calls: the certificate of a connection, looked up again for each request (marblerun-core 5.9, 9).

Only the first certificate that a client presents counts: TLS has proven that the caller holds its key, and
nothing else. MarbleRun looks at the rest of the chain too; there whoever presents a certificate of their own
and behind it one of an owner, which the manifest shows to everybody, is taken for the owner.

A call asks here before it reads its body, and after it has looked whether its feature is on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from coordinator.api.routes import Caller
    from coordinator.domain.access import User
    from coordinator.marbles import MarbleIdentity


async def user_of(caller: Caller, request: web.BaseRequest) -> User:
    """Find the user of the enforced manifest who calls.

    Raises:
        UserUnauthenticatedError: the connection proves no certificate of one.
    """
    proven = _proven(request)
    return await caller.run(lambda: caller.service.owners.authenticate(proven))


async def marble_of(caller: Caller, request: web.BaseRequest) -> MarbleIdentity:
    """Find the marble that calls.

    Raises:
        MarbleUnauthenticatedError: the connection proves none that the current marble root has issued.
    """
    proven = _proven(request)
    return await caller.run(lambda: caller.service.marbles.authenticate(proven))


def _proven(request: web.BaseRequest) -> tuple[bytes, ...]:
    """Return the certificate whose key the client holds, in DER, if it has shown one."""
    if request.transport is None:  # the connection is gone already
        return ()
    presented: tuple[bytes, ...] = request.transport.get_extra_info("peer_certificates", ())
    return presented[:1]
