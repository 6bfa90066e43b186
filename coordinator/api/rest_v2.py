"""MarbleRun's REST API, version 2: the calls this version has (marblerun-core section 11)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from coordinator.api import envelope
from coordinator.api.body import MAX_MANIFEST_BODY, MAX_QUERY_VALUE, base64_member, parse_object
from coordinator.api.routes import Caller, Route
from coordinator.domain.support import DROP_IN
from coordinator.errors import MalformedRequestError, NotSupportedYetError

if TYPE_CHECKING:
    from aiohttp import web

_LATER = (
    ("POST", "/api/v2/recover"),
    ("GET", "/api/v2/recover/public-key"),
    ("GET", "/api/v2/secrets"),
    ("POST", "/api/v2/secrets"),
    ("POST", "/api/v2/update"),
    ("GET", "/api/v2/update-manifest"),
    ("POST", "/api/v2/update-manifest"),
    ("POST", "/api/v2/update-cancel"),
    ("POST", "/api/v2/sign-quote"),
    ("POST", "/api/v2/monotonic-counter"),
)


def routes() -> tuple[Route, ...]:
    """List the calls of this module."""
    return (
        Route("GET", "/api/v2/status", _status),
        Route("GET", "/api/v2/manifest", _manifest),
        Route("POST", "/api/v2/manifest", _set_manifest),
        Route("GET", "/api/v2/quote", _quote),
        Route("GET", "/api/v2/update", _update_log),
        Route("GET", "/api/v2/collateral", _collateral),
        *(Route(method, path, _later) for method, path in _LATER),
    )


async def _status(caller: Caller, _request: web.BaseRequest) -> web.Response:
    view = caller.service.status()
    options = caller.service.options
    data: dict[str, Any] = {"code": int(view.phase), "message": view.message, "platform": options.platform}
    data["deployment"] = None if view.deployment is None else str(view.deployment)
    data["version"] = view.version
    data["digest"] = None if view.digest is None else str(view.digest)
    data["warnings"] = list(options.warnings)
    return envelope.success(data)


async def _manifest(caller: Caller, _request: web.BaseRequest) -> web.Response:
    enforcement = caller.service.enforcement()
    return envelope.success(
        {
            "manifestSignatureRootECDSA": _b64(enforcement.signature),
            "manifestFingerprint": enforcement.manifest.digest.hex,
            "manifest": _b64(enforcement.manifest.raw),
        }
    )


async def _set_manifest(caller: Caller, request: web.BaseRequest) -> web.Response:
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        await caller.decide(lambda: caller.service.set_manifest(_manifest_in(body)))
    return envelope.success({"RecoverySecrets": {}})


def _manifest_in(body: bytes) -> bytes:
    return base64_member(parse_object(body), "manifest")


async def _quote(caller: Caller, request: web.BaseRequest) -> web.Response:
    text = request.query.get("nonce")
    nonce = None if text is None else _nonce(text)
    chain, quote = await caller.run(lambda: caller.service.quote(nonce))
    return envelope.success({"cert": chain, "quote": _b64(quote)})


async def _update_log(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success({"updateLog": list(caller.service.update_log())})


async def _collateral(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success(json.loads(caller.service.collateral()))


async def _later(_caller: Caller, request: web.BaseRequest) -> web.Response:
    raise NotSupportedYetError(f"{request.method} {request.path}", DROP_IN)


def _nonce(text: str) -> bytes:
    if len(text) > MAX_QUERY_VALUE:
        raise MalformedRequestError("bad request: the nonce is too long")
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRequestError("bad request: the nonce is not base64url") from error


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
