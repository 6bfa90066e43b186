"""Answers a `decide` question with this implementation; see ``cases_decide``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from marbleops.approval.decide import decide
from marbleops.approval.decision import Decision, Refusal
from marbleops.approval.enforced import Enforced
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import decode_evidence
from marbleops.approval.floors import attested_from_json, floors_from_json
from marbleops.manifest.digest import Digest
from marbleops.manifest.parse import Strictness, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.manifest.model import Manifest


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``outcome``, ``class``, ``approvers`` and all ``reasons``, of the manifest and of single pieces."""
    try:
        evidence = decode_evidence(question["evidence"])
    except EvidenceError as error:
        # A call that does not decode is refused before anything in it is decided.
        return _answer((Refusal(reason=error.reason, message=error.message),), None)
    decision = decide(
        enforced=_enforced(question["enforced"]), raw=question["manifest"].encode(), evidence=evidence
    )
    return _answer(decision.refusals, decision)


@lru_cache(maxsize=8)
def _load(raw: bytes) -> Manifest:
    return load(raw, strictness=Strictness.STRICT)


def _enforced(given: Mapping[str, Any] | None) -> Enforced | None:
    if given is None:
        return None
    return Enforced(
        manifest=_load(given["manifest"].encode()),
        deployment=Digest.parse(given["deployment"]),
        floors=floors_from_json(given["floors"]),
        attested=attested_from_json(given["attested"]),
        revoked=frozenset(given["revoked"]),
    )


def _answer(refusals: tuple[Refusal, ...], decision: Decision | None) -> dict[str, Any]:
    pieces = decision.pieces if decision else ()
    reasons = {str(refusal.reason) for refusal in refusals} | {
        str(piece.reason) for piece in pieces if piece.reason
    }
    change_class = decision.change_class if decision else None
    return {
        "outcome": str(decision.outcome) if decision else "refused",
        "class": str(change_class) if change_class else None,
        "reasons": sorted(reasons),
        "approvers": sorted({counted.user for counted in decision.approvals}) if decision else [],
    }
