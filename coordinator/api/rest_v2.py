"""MarbleRun's REST API, version 2 (marblerun-core section 11, marblerun-api-cli-k8s 1.6).

Each call asks in MarbleRun's order: is the feature on, who calls, what does the body say, may it be done.
What we answer beyond MarbleRun are further members, and the one call ``collateral``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from coordinator.api import envelope, gojson, peers
from coordinator.api.answers import (
    CANCELLED,
    acknowledged_by_name,
    base64_or_null,
    base64_table,
    base64_text,
    secret_table,
)
from coordinator.api.body import MAX_MANIFEST_BODY, MAX_RECOVER_BODY, MAX_SECRETS_BODY, MAX_SMALL_BODY
from coordinator.api.calls import (
    CounterCall,
    QuoteCall,
    RecoverCall,
    manifest_in,
    names_in,
    nonce_in,
    secrets_in,
)
from coordinator.api.errors import Kind, Manner, row_of
from coordinator.api.routes import OUTCOME, Caller, Route
from coordinator.errors import MalformedRequestError

if TYPE_CHECKING:
    from aiohttp import web

    from coordinator.marbles import MarbleIdentity
    from coordinator.owners import UpdateAnswer
    from coordinator.recovering import RecoveryAnswer
    from coordinator.service import SignedQuote

SIGN_QUOTE = "SignQuoteEndpoint"
MONOTONIC_COUNTER = "MonotonicCounter"


def routes() -> tuple[Route, ...]:
    """List the calls of this module; the pending update is read alike in both versions."""
    return (
        Route("GET", "/api/v2/status", _status),
        Route("GET", "/api/v2/manifest", _manifest),
        Route("POST", "/api/v2/manifest", _set_manifest),
        Route("GET", "/api/v2/quote", _quote),
        Route("POST", "/api/v2/recover", _recover),
        Route("GET", "/api/v2/recover/public-key", _recovery_key),
        Route("GET", "/api/v2/secrets", _secrets),
        Route("POST", "/api/v2/secrets", _write_secrets),
        Route("GET", "/api/v2/update", _update_log),
        Route("POST", "/api/v2/update", _update),
        Route("GET", "/api/v2/update-manifest", _pending, Manner.PENDING),
        Route("GET", "/update-manifest", _pending, Manner.PENDING),
        Route("POST", "/api/v2/update-manifest", _acknowledge),
        Route("POST", "/api/v2/update-cancel", _cancel),
        Route("POST", "/api/v2/sign-quote", _sign_quote),
        Route("POST", "/api/v2/monotonic-counter", _count),
        Route("GET", "/api/v2/collateral", _collateral),
    )


# What anyone may ask.


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
            "manifestSignatureRootECDSA": base64_text(enforcement.signature),
            "manifestFingerprint": enforcement.manifest.digest.hex,
            "manifest": base64_text(enforcement.manifest.raw),
        }
    )


async def _set_manifest(caller: Caller, request: web.BaseRequest) -> web.Response:
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        secrets = await caller.decide_for_anybody(
            "manifest", lambda: caller.service.set_manifest(manifest_in(body))
        )
    return envelope.success({"RecoverySecrets": base64_table(secrets)})


async def _quote(caller: Caller, request: web.BaseRequest) -> web.Response:
    nonce = nonce_in(request)
    view = await caller.run(lambda: caller.service.quote(nonce))
    manifest = None if view.manifest is None else view.manifest.hex
    state = {"code": int(view.phase), "manifestFingerprint": manifest}
    return envelope.success({"cert": view.chain_pem, "quote": base64_or_null(view.quote), "state": state})


async def _update_log(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success({"updateLog": list(caller.service.update_log())})


async def _collateral(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success(json.loads(caller.service.collateral()))


# Recovery: whoever knows a secret and signs it.


async def _recover(caller: Caller, request: web.BaseRequest) -> web.Response:
    async with caller.bodies.read(request, limit=MAX_RECOVER_BODY, cut=True) as body:
        answer = await caller.decide_for_anybody("recover", lambda: _recovered(caller, body))
    return envelope.success({"remaining": answer.remaining, "message": answer.message})


def _recovered(caller: Caller, body: bytes) -> RecoveryAnswer:
    call = gojson.first(body, RecoverCall)
    return caller.service.recovery.recover(call.secret or b"", call.signature or b"")


async def _recovery_key(caller: Caller, _request: web.BaseRequest) -> web.Response:
    key = await caller.run(caller.service.recovery.public_key)
    return envelope.success({"algorithm": "RSA", "ephemeralPublicKey": base64_text(key)})


# Users of the manifest.


async def _secrets(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    names = names_in(request)
    secrets = await caller.run(lambda: caller.service.owners.read_secrets(names, user))
    return envelope.success({"secrets": secret_table(secrets)})


async def _write_secrets(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_SECRETS_BODY) as body:
        await caller.decide(lambda: caller.service.owners.write_secrets(secrets_in(body), user))
    return envelope.success(None)


async def _update(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        answer = await caller.decide(lambda: caller.service.owners.update(manifest_in(body), user))
    missing = {
        "missingAcknowledgments": answer.missing_acknowledgments,
        "missingUsers": _users(answer),
    }
    return envelope.success({**missing, **_recovery_secrets(answer)})


async def _pending(caller: Caller, _request: web.BaseRequest) -> web.Response:
    pending = caller.service.owners.pending()
    users = pending.missing_users
    return envelope.success(
        {
            "manifest": base64_text(pending.manifest.raw),
            "message": acknowledged_by_name(pending.missing, users),
            "missingUsers": list(users),
        }
    )


async def _acknowledge(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_MANIFEST_BODY) as body:
        answer = await caller.decide(lambda: caller.service.owners.acknowledge(manifest_in(body), user))
    missing = {
        "message": acknowledged_by_name(answer.missing_acknowledgments, answer.missing_users or ()),
        "missingUsers": _users(answer),
        "missingAcknowledgments": answer.missing_acknowledgments,
    }
    return envelope.success({**missing, **_recovery_secrets(answer)})


async def _cancel(caller: Caller, request: web.BaseRequest) -> web.Response:
    user = await peers.user_of(caller, request)
    await caller.decide(lambda: caller.service.owners.cancel(user))
    return envelope.success({"message": CANCELLED})


def _users(answer: UpdateAnswer) -> list[str] | None:
    return list(answer.missing_users) if answer.missing_users else None


def _recovery_secrets(answer: UpdateAnswer) -> dict[str, dict[str, str]]:
    """Write the member that is there only if the update was applied and made new recovery secrets."""
    return {"recoverySecrets": base64_table(answer.recovery_secrets)} if answer.recovery_secrets else {}


# Behind feature gates.


async def _sign_quote(caller: Caller, request: web.BaseRequest) -> web.Response:
    caller.service.require_feature(SIGN_QUOTE)
    async with caller.bodies.read(request, limit=MAX_SMALL_BODY) as body:
        try:
            signed = await caller.run(lambda: _signed(caller, body))
        except MalformedRequestError as error:
            return _no_quote(error)
    return envelope.success(
        {"tcbStatus": signed.tcb_status, "verificationSignature": base64_text(signed.signature)}
    )


def _signed(caller: Caller, body: bytes) -> SignedQuote:
    return caller.service.sign_quote(gojson.first(body, QuoteCall).quote or b"")


def _no_quote(error: MalformedRequestError) -> web.Response:
    data = {"sgxQuote": "failed to parse JSON data"}
    response = envelope.refusal(Kind.FAIL, 400, f"bad request: {error}", data)
    response[OUTCOME] = row_of(error).code
    return response


async def _count(caller: Caller, request: web.BaseRequest) -> web.Response:
    caller.service.require_feature(MONOTONIC_COUNTER)
    marble = await peers.marble_of(caller, request)
    async with caller.bodies.read(request, limit=MAX_SMALL_BODY) as body:
        value = await caller.decide(lambda: _counted(caller, marble, body))
    return envelope.success({"value": value})


def _counted(caller: Caller, marble: MarbleIdentity, body: bytes) -> int:
    call = gojson.first(body, CounterCall)
    return caller.service.marbles.count(marble, call.name, call.value)
