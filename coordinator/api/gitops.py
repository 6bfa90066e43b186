"""The gitops calls: signed updates in, policy and history out (approvals.md section 4).

No caller is asked who they are: the evidence is the authority. What a stranger can cost is bounded here: the
body, the number of calls in flight, and how often.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coordinator.api import envelope
from coordinator.api.answers import base64_table, base64_text
from coordinator.api.body import MAX_UPDATE_BODY, base64_member, parse_object
from coordinator.api.errors import Kind
from coordinator.api.gate import UpdateGate
from coordinator.api.routes import OUTCOME, Caller, Route
from coordinator.domain.state import Enforcement, Source, State
from coordinator.errors import (
    MalformedRequestError,
    UnsupportedStatementError,
)
from marbleops.approval.decision import Decision, Outcome, Refusal, decision_to_json
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import Piece, decode_evidence
from marbleops.approval.floors import attested_to_json, floors_to_json
from marbleops.approval.policy import Policy, read_policy
from marbleops.approval.reasons import Reason
from marbleops.approval.satisfiability import satisfiability_words
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

_SOURCE = re.compile(r"[\x20-\x7e]{0,256}", re.ASCII)
_POSITION = re.compile(r"[0-9]{1,9}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEMBERS = frozenset({"manifest", "dryRun", "evidence", "source"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCall:
    """A parsed update call."""

    raw: bytes
    dry_run: bool
    pieces: tuple[Piece, ...]
    source: Source | None


def routes() -> tuple[Route, ...]:
    """List the calls of this module."""
    gate = UpdateGate()

    async def update(caller: Caller, request: web.BaseRequest) -> web.Response:
        gate.spend(request.remote, asyncio.get_running_loop().time())
        async with caller.bodies.read(request, limit=MAX_UPDATE_BODY) as body, gate.enter():
            return answer(await caller.decide(lambda: _decide(caller, body)))

    return (
        Route("POST", "/api/v2/gitops/update", update),
        Route("POST", "/api/v2/gitops/statements", _statements),
        Route("GET", "/api/v2/gitops/policy", _policy),
        Route("GET", "/api/v2/gitops/history", _history),
        Route("GET", "/api/v2/gitops/evidence/*", _evidence),
        Route("GET", "/api/v2/gitops/recovery-secrets", _recovery_secrets),
    )


def _decide(caller: Caller, body: bytes) -> Decision:
    """Parse and decide; both can be heavy, so both run off the loop."""
    document = parse_object(body)
    raw = base64_member(document, "manifest")
    try:
        call = parse_call(document, raw)
    except EvidenceError as error:
        return _refused(raw, error)
    return caller.service.update(call.raw, call.pieces, dry_run=call.dry_run, source=call.source)


def parse_call(document: Mapping[str, Any], raw: bytes) -> UpdateCall:
    """Read an update call strictly (``update-call.v1.schema.json``).

    Raises:
        MalformedRequestError: an unknown member or a wrong type.
        EvidenceError: evidence that is too large or no evidence at all.
    """
    unknown = sorted(set(document) - _MEMBERS)
    if unknown:
        raise MalformedRequestError(f"bad request: unknown member {unknown[0][:64]!r}")
    dry_run = document.get("dryRun", False)
    if not isinstance(dry_run, bool):
        raise MalformedRequestError("bad request: dryRun must be true or false")
    return UpdateCall(
        raw=raw,
        dry_run=dry_run,
        pieces=decode_evidence(document.get("evidence", [])),
        source=_source(document.get("source")),
    )


def answer(decision: Decision) -> web.Response:
    """Answer with a decision: 200 if it stands, 422 if it is refused, 413 if what was sent is too large."""
    data = decision_to_json(decision)
    if decision.outcome is Outcome.REFUSED:
        too_large = any(refusal.reason is Reason.TOO_LARGE for refusal in decision.refusals)
        response = envelope.refusal(Kind.FAIL, 413 if too_large else 422, decision.summary, data)
    else:
        response = envelope.success(data)
    response[OUTCOME] = decision.outcome.value
    return response


async def _statements(_caller: Caller, _request: web.BaseRequest) -> web.Response:
    raise UnsupportedStatementError


async def _policy(caller: Caller, _request: web.BaseRequest) -> web.Response:
    return envelope.success(await caller.run(lambda: policy_document(caller)))


def policy_document(caller: Caller) -> dict[str, Any]:
    """Render the enforced policy, whole: enough to preflight a pull request."""
    state = caller.service.gitops_state()
    enforcement = state.enforcement
    assert enforcement is not None
    policy = read_policy(enforcement.manifest)
    return {
        "deployment": str(enforcement.deployment),
        "lineage": policy.lineage,
        "version": policy.version,
        "digest": str(enforcement.manifest.digest),
        "path": policy.path,
        "binding": policy.binding,
        "updateThreshold": policy.update_threshold,
        "packageThreshold": policy.package_threshold,
        "weakenQuorum": policy.weaken_quorum,
        "quorum": dict(policy.quorum),
        "requireUserPresence": policy.require_user_presence,
        "publicEvidence": enforcement.manifest.gitops is not None
        and enforcement.manifest.gitops.public_evidence,
        "users": _users(policy),
        "satisfiability": list(satisfiability_words(policy)),
        **_standing(caller, state, enforcement),
    }


def _standing(caller: Caller, state: State, enforcement: Enforcement) -> dict[str, Any]:
    genesis = caller.service.options.genesis_digest
    source = enforcement.source
    return {
        "floors": floors_to_json(enforcement.floors),
        "attested": attested_to_json(state.ledger.attested),
        "revoked": [],
        "head": {"position": enforcement.head.position, "hash": str(enforcement.head.hash)},
        "source": None if source is None else {"url": source.url, "revision": source.revision},
        # The simulation measures no start configuration, so the host could have set it (approvals.md section
        # 3).
        "genesisDigest": None
        if genesis is None
        else {"value": str(genesis), "assurance": "host-set, not a protection"},
    }


def _users(policy: Policy) -> list[dict[str, Any]]:
    return [
        {
            "name": user.name,
            "approver": user.approver,
            "bumps": sorted(user.bumps),
            "roles": list(user.roles),
            "keys": [{"type": key.algorithm, "fingerprint": key.fingerprint} for key in user.listed],
        }
        for _, user in sorted(policy.users.items())
    ]


async def _history(caller: Caller, request: web.BaseRequest) -> web.Response:
    text = request.query.get("from", "0")
    if _POSITION.fullmatch(text) is None:
        raise MalformedRequestError("bad request: from must be a position")
    page = await caller.run(lambda: caller.service.history(int(text)))
    return envelope.success(
        {
            "from": page.start,
            "records": [base64_text(record) for record in page.records],
            "next": page.following,
            "head": {
                "deployment": str(page.deployment),
                "position": page.position,
                "hash": str(page.head),
                "signature": base64_text(page.signature),
            },
        }
    )


async def _evidence(caller: Caller, request: web.BaseRequest) -> web.Response:
    text = request.path.rpartition("/")[2]
    if _HEX.fullmatch(text) is None:
        raise MalformedRequestError("bad request: evidence is named by 64 lower-case hexadecimal digits")
    piece = await caller.run(lambda: caller.service.evidence(Digest(bytes.fromhex(text))))
    return envelope.success(base64_text(piece))


async def _recovery_secrets(caller: Caller, _request: web.BaseRequest) -> web.Response:
    """Hand out the recovery secrets, to anyone: each is encrypted for the holder of its key."""
    enforcement = caller.service.gitops_state().enforcement
    assert enforcement is not None
    return envelope.success(base64_table(enforcement.recovery))


def _source(value: Any) -> Source | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"url", "revision"}:
        raise MalformedRequestError("bad request: source has exactly url and revision")
    if not all(isinstance(text, str) and _SOURCE.fullmatch(text) for text in value.values()):
        raise MalformedRequestError("bad request: source holds at most 256 printable ASCII characters each")
    return Source(url=value["url"], revision=value["revision"])


def _refused(raw: bytes, error: EvidenceError) -> Decision:
    words = str(error)
    return Decision(
        outcome=Outcome.REFUSED,
        digest=Digest.of(raw),
        refusals=(Refusal(reason=error.reason, message=words),),
        summary=words,
    )
