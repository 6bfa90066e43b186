"""Judge the evidence with the code the enclave runs, and keep only what counts.

The verdict here is a forecast: the Coordinator decides again. Its use is that junk never reaches the
Coordinator, and that people are told what is missing (approvals.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marbleops.approval.decide import decide
from marbleops.approval.decision import Decision, Refusal
from marbleops.approval.decision import Outcome as Verdict
from marbleops.approval.reasons import Reason
from reconciler.evidence import collect, read_directory
from reconciler.outcome import Outcome, Step, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.approval.enforced import Enforced
    from marbleops.approval.evidence import Piece
    from reconciler.history import Draft
    from reconciler.repository import Repository

__all__ = ["VerifiedRevision", "collect", "judge", "read_directory", "refusal", "select", "verify"]

_APPROVALS = frozenset(
    {
        Reason.THRESHOLD_NOT_MET,
        Reason.QUORUM_NOT_MET,
        Reason.WEAKENING_NOT_APPROVED,
        Reason.NEW_KEY_UNPROVEN,
        Reason.BEYOND_ATTESTED,
        Reason.NOT_EVALUATED,
    }
)
"""Refusals that more evidence, or a running new build, can lift without another push."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRevision:
    """A manifest whose evidence is enough, and exactly the pieces that count."""

    draft: Draft
    path: str
    decision: Decision
    evidence: tuple[Piece, ...] = field(repr=False)


def verify(
    repository: Repository,
    draft: Draft,
    *,
    path: str,
    enforced: Enforced | None,
    tip: str,
    dropped: Sequence[Piece],
) -> tuple[VerifiedRevision | None, Decision]:
    """Collect evidence for *draft* and judge it; ``None`` and the decision where it is not enough.

    Raises:
        RepositoryError: the cache is damaged.
    """
    pieces = collect(repository, draft, path=path, enforced=enforced, tip=tip, dropped=dropped)
    decision, counted = judge(draft.raw, pieces, enforced=enforced)
    if decision.outcome is Verdict.REFUSED:
        return None, decision
    return VerifiedRevision(draft=draft, path=path, decision=decision, evidence=counted), decision


def judge(
    raw: bytes, pieces: Sequence[Piece], *, enforced: Enforced | None
) -> tuple[Decision, tuple[Piece, ...]]:
    """Decide as the Coordinator would, and name the pieces worth sending."""
    decision = decide(enforced=enforced, raw=raw, evidence=pieces)
    return decision, select(decision, pieces)


def select(decision: Decision, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Keep what counted: one vote for each user and one proof for each new key."""
    return tuple(pieces[verdict.index] for verdict in decision.pieces if verdict.counted)


def refusal(decision: Decision) -> Stop:
    """Say how a refused decision ends the run: *Waiting* only if somebody approved and all else is right."""
    first = decision.refusals[0]
    approved = any(piece.counted and piece.use == "approval" for piece in decision.pieces)
    if approved and all(row.reason in _APPROVALS for row in decision.refusals):
        words = decision.summary or first.message
        return Stop(Step.VERIFY, Outcome.WAITING, first.reason, words, refusals=decision.refusals)
    if all(row.reason in _APPROVALS for row in decision.refusals):
        return Stop(
            Step.VERIFY, Outcome.REFUSED, _why_nobody(decision), _nobody(decision), refusals=decision.refusals
        )
    wrong = next(row for row in decision.refusals if row.reason not in _APPROVALS)
    step = (
        Step.VALIDATE if wrong.reason in {Reason.MANIFEST_MALFORMED, Reason.MANIFEST_INVALID} else Step.VERIFY
    )
    return Stop(step, Outcome.REFUSED, wrong.reason, _located(wrong), refusals=decision.refusals)


def progress(decision: Decision) -> tuple[int, int, tuple[str, ...]]:
    """Return have, need and missing of the requirement that is furthest from being met."""
    open_rows = [row for row in decision.requirements if row.have < row.needed]
    rows = open_rows or list(decision.requirements)
    if not rows:
        return 0, 0, ()
    row = max(rows, key=lambda one: one.needed - one.have)
    return row.have, row.needed, row.missing


def _why_nobody(decision: Decision) -> str:
    """Name the most telling reason why no piece counted."""
    reasons = [piece.reason for piece in decision.pieces if piece.reason is not None]
    unsigned = {Reason.MALFORMED_SIGNATURE, Reason.DUPLICATE_USER}
    told = [reason for reason in reasons if reason not in unsigned]
    return (told or reasons or [decision.refusals[0].reason])[0]


def _nobody(decision: Decision) -> str:
    head = decision.summary or decision.refusals[0].message
    reason = _why_nobody(decision)
    words = next((piece.message for piece in decision.pieces if piece.reason == reason), "")
    return f"{head} ({words})" if words and words not in head else head


def _located(row: Refusal) -> str:
    place = ":".join(str(number) for number in (row.line, row.column) if number is not None)
    head = " ".join(part for part in (place, row.path) if part)
    return f"{head}: {row.message}" if head else row.message
