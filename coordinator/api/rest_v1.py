"""MarbleRun's REST API, version 1: deprecated there, and what older clients still call (section 11).

Its bodies are the things themselves instead of objects around them, its refusals are all *error*, and it
cannot say all that version 2 says: recovery secrets that an update makes are not shown here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from coordinator.api import envelope, peers
from coordinator.api.answers import (
    CANCELLED,
    RECOVER_IS_V2,
    acknowledged,
    base64_or_null,
    base64_table,
    base64_text,
    secret_table,
)
from coordinator.api.body import MAX_MANIFEST_BODY, MAX_SECRETS_BODY
from coordinator.api.calls import names_in, secrets_v1_in
from coordinator.api.errors import Kind, Manner
from coordinator.api.routes import OUTCOME, Caller, Handler, Route
from coordinator.errors import ManifestNotSetError

if TYPE_CHECKING:
    from aiohttp import web

_log = structlog.get_logger("coordinator.rest")


def routes() -> tuple[Route, ...]:
    """List the calls of this module."""
    return (
        Route("GET", "/status", _deprecated(_status), Manner.V1),
        Route("GET", "/manifest", _deprecated(_manifest), Manner.V1),
        Route("POST", "/manifest", _deprecated(_set_manifest), Manner.V1_CHANGES),
        Route("GET", "/quote", _deprecated(_quote), Manner.V1),
        Route("POST", "/recover", _deprecated(_recover), Manner.V1),
        Route("GET", "/secrets", _deprecated(_secrets), Manner.V1_CHANGES),
        Route("POST", "/secrets", _deprecated(_write_secrets), Manner.V1_CHANGES),
        Route("GET", "/update", _deprecated(_update_log), Manner.V1),
        Route("POST", "/update", _deprecated(_update), Manner.V1_CHANGES),
        Route("POST", "/update-manifest", _acknowledge, Manner.V1),
        Route("POST", "/update-cancel", _cancel, Manner.V1),
    )


def _deprecated(handler: Handler) -> Handler:
    async def logged(caller: Caller, request: web.BaseRequest) -> web.Response:
        _log.info(
            "deprecated_call", path=request.path, hint=f"deprecated API endpoint: use /api/v2{request.path}"
        )
        return await handler(caller, request)

    return logged


async def _status(caller: Caller, _request: web.BaseRequest) -> web.Response:
    view = caller.service.status()
    return envelope.success({"StatusCode": int(view.phase), "StatusMessage": view.message})


async def _manifest(caller: Caller, _request: web.BaseRequest) -> web.Response:
    """Answer with the manifest; never refuses. What is called its signature is its fingerprint."""
    try:
        enforcement = caller.service.enforcement()
    except ManifestNotSetError:
        signature, fingerprint, raw = None, "", None
    else:
        signature, raw = base64_text(enforcement.signature), base64_text(enforcement.manifest.raw)
        fingerprint = enforcement.manifest.digest.hex
    return envelope.success(
        {"ManifestSignatureRootECDSA": signature, "ManifestSignature": fingerprint, "Manifest": raw}
    )


async def _set_manifest(caller: Caller, request: web.BaseRequest) -> web.Response:
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        secrets = await caller.decide_for_anybody("manifest", lambda: caller.service.set_manifest(body))
    return envelope.success({"RecoverySecrets": base64_table(secrets)} if secrets else None)


async def _quote(caller: Caller, _request: web.BaseRequest) -> web.Response:
    view = await caller.run(lambda: caller.service.quote(None))
    return envelope.success({"Cert": view.chain_pem, "Quote": base64_or_null(view.quote)})


async def _recover(_caller: Caller, _request: web.BaseRequest) -> web.Response:
    response = envelope.refusal(Kind.ERROR, 410, RECOVER_IS_V2)
    response[OUTCOME] = "gone"
    return response


async def _secrets(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    names = names_in(request)
    secrets = await caller.run(lambda: caller.service.owners.read_secrets(names, user))
    return envelope.success(secret_table(secrets))


async def _write_secrets(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_SECRETS_BODY) as body:
        await caller.decide(lambda: caller.service.owners.write_secrets(secrets_v1_in(body), user))
    return envelope.success(None)


async def _update_log(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success("".join(f"{line}\n" for line in caller.service.update_log()))


async def _update(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        await caller.decide(lambda: caller.service.owners.update(body, user))
    return envelope.success(None)


async def _acknowledge(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        answer = await caller.decide(lambda: caller.service.owners.acknowledge(body, user))
    return envelope.success(acknowledged(answer.missing_acknowledgments))


async def _cancel(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    await caller.decide(lambda: caller.service.owners.cancel(user))
    return envelope.success(CANCELLED)
