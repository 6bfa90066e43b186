"""The last step: what came of it, for people, for ``wait`` and for other controllers.

Conditions follow kstatus (gitops.md 1.1.4): ``Ready`` always there; ``Reconciling``, ``Stalled`` and
``Drifted`` only while true. Waiting for approvals is no failure: ``Ready`` stays true for what is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler import limits
from reconciler.disk import DiskError, read_json, write_json
from reconciler.outcome import Outcome, Step
from reconciler.system import timestamp
from reconciler.verify import progress

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from marbleops.approval.decision import Decision, Refusal, Requirement
    from reconciler.attest import Attested


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What became of one manifest, and the commits that hold it."""

    commits: tuple[str, ...]
    digest: str
    version: int | None
    outcome: Outcome
    reason: str
    message: str
    step: Step
    refusals: tuple[Refusal, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One reconcile, finished: what is written to the status and to the log."""

    target: str
    generation: int
    at: datetime
    step: Step
    outcome: Outcome
    reason: str
    message: str
    commit: str | None = None
    decision: Decision | None = None
    refusals: tuple[Refusal, ...] = ()
    attested: Attested | None = None
    enforced: dict[str, Any] | None = None
    """What is enforced as far as known, also from earlier runs: version, digest, commit, deployment, root."""
    observed_root: str | None = None
    simulation: bool = False
    candidates: tuple[Candidate, ...] = field(default=())
    warnings: tuple[str, ...] = ()


def read_status(path: Path) -> dict[str, Any] | None:
    """Read a status file; ``None`` where the reconciler has not written one yet.

    Raises:
        DiskError: it is damaged.
    """
    return read_json(path)


def write_status(path: Path, report: Report) -> dict[str, Any]:
    """Write *report*, keeping what earlier runs found out about other commits, and return the document.

    Raises:
        OSError: the file system refuses.
    """
    try:
        before = read_json(path) or {}
    except DiskError:
        before = {}  # derived data: the next runs find it out again
    document = render(report, before)
    write_json(path, document, mode=0o644)
    return document


def render(report: Report, before: dict[str, Any]) -> dict[str, Any]:
    """Make the status document out of *report* and the document *before* it."""
    have, need, missing = progress(report.decision) if report.decision else (0, 0, ())
    at = timestamp(report.at)
    return {
        "target": report.target,
        "commit": report.commit,
        "step": report.step.value,
        "outcome": report.outcome.value,
        "reason": report.reason,
        "message": report.message,
        "class": _class(report.decision),
        "weakens": list(report.decision.weakens) if report.decision else [],
        "have": have,
        "need": need,
        "missing": list(missing),
        "requirements": [_requirement(row) for row in report.decision.requirements]
        if report.decision
        else [],
        "refusals": [_refusal(row) for row in report.refusals],
        "pieces": _pieces(report.decision),
        "enforced": report.enforced,
        "coordinator": {"root": report.observed_root, "simulation": report.simulation},
        "attested": None if report.attested is None else timestamp(report.attested.at),
        "warnings": list(report.warnings),
        "conditions": _conditions(report, before.get("conditions")),
        "updated": at,
        "history": _history(report, before.get("history")),
        "candidates": _candidates(report, before.get("candidates"), at),
    }


def _requirement(row: Requirement) -> dict[str, Any]:
    return {"words": row.words, "needed": row.needed, "have": row.have, "missing": list(row.missing)}


def _refusal(row: Refusal) -> dict[str, Any]:
    return {
        "reason": row.reason.value,
        "message": row.message,
        "path": row.path,
        "line": row.line,
        "column": row.column,
    }


def _class(decision: Decision | None) -> str | None:
    return decision.change_class.value if decision and decision.change_class else None


def _pieces(decision: Decision | None) -> list[dict[str, Any]]:
    if decision is None:
        return []
    return [
        {
            "kind": piece.kind,
            "counted": piece.counted,
            "use": piece.use,
            "user": piece.user,
            "fingerprint": piece.fingerprint,
            "reason": piece.reason.value if piece.reason else None,
            "message": piece.message,
        }
        for piece in decision.pieces
    ]


def _conditions(report: Report, before: object) -> list[dict[str, Any]]:
    earlier = (
        {row["type"]: row for row in before if isinstance(row, dict) and "type" in row}
        if isinstance(before, list)
        else {}
    )
    at = timestamp(report.at)
    rows = []
    for kind, status, reason, message in _condition_rows(report):
        old = earlier.get(kind, {})
        same = old.get("status") == status
        rows.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": report.generation,
                "lastTransitionTime": old.get("lastTransitionTime", at) if same else at,
            }
        )
    return rows


def _condition_rows(report: Report) -> list[tuple[str, str, str, str]]:
    """List type, status, reason and message; abnormal-true types are left out while false."""
    outcome, reason, message = report.outcome, report.reason, report.message
    rows = [_ready(report)]
    if outcome is Outcome.RETRYING:
        rows.append(("Reconciling", "True", "ProgressingWithRetry", message))
    if outcome is Outcome.STALLED:
        rows.append(("Stalled", "True", reason, message))
    source = "Unknown" if report.commit is None else "True"
    rows.append(("SourceVerified", source, "Fetched" if report.commit else reason, report.commit or message))
    match outcome:
        case Outcome.ENFORCED:
            rows.append(("Approved", "True", "ThresholdMet", message))
            rows.append(("Applied", "True", "Succeeded", message))
        case Outcome.WAITING:
            rows.append(("Approved", "False", "ThresholdNotMet", message))
            rows.append(("Applied", "False", "ThresholdNotMet", message))
        case Outcome.REFUSED | Outcome.SUPERSEDED:
            rows.append(("Approved", "False", reason, message))
            rows.append(("Applied", "False", reason, message))
        case Outcome.RETRYING | Outcome.STALLED:
            rows.append(("Approved", "Unknown", reason, message))
            rows.append(("Applied", "Unknown", reason, message))
    if reason == "CoordinatorChanged":
        rows.append(("Drifted", "True", reason, message))
    return rows


def _ready(report: Report) -> tuple[str, str, str, str]:
    if report.outcome is Outcome.STALLED:
        return ("Ready", "False", report.reason, report.message)
    if report.outcome is Outcome.RETRYING:
        return ("Ready", "Unknown", "Progressing", report.message)
    if report.enforced is None:
        return ("Ready", "False", report.reason, report.message)
    version = report.enforced.get("version")
    return ("Ready", "True", "Succeeded", f"version {version} is enforced")


def _history(report: Report, before: object) -> list[dict[str, Any]]:
    """Keep the newest attempts, one entry for equal ones in a row (as Flux does)."""
    at = timestamp(report.at)
    entry = {
        "commit": report.commit,
        "outcome": report.outcome.value,
        "reason": report.reason,
        "first": at,
        "last": at,
        "total": 1,
    }
    rows = [row for row in before if isinstance(row, dict)] if isinstance(before, list) else []
    if rows and all(rows[0].get(name) == entry[name] for name in ("commit", "outcome", "reason")):
        total = rows[0].get("total")
        entry |= {"first": rows[0].get("first", at), "total": (total if isinstance(total, int) else 0) + 1}
        rows = rows[1:]
    return [entry, *rows][: limits.MAX_HISTORY]


def _candidates(report: Report, before: object, at: str) -> dict[str, Any]:
    """Remember the outcome of each commit, newest last; an enforced one stays enforced.

    ``since`` is when its manifest was first looked at: how long a host, or people, have kept it waiting.
    """
    kept: dict[str, Any] = dict(before) if isinstance(before, dict) else {}
    for candidate in report.candidates:
        row = {
            "outcome": candidate.outcome.value,
            "reason": candidate.reason,
            "message": candidate.message,
            "step": candidate.step.value,
            "digest": candidate.digest,
            "version": candidate.version,
            "class": _class(candidate.decision),
            "refusals": [_refusal(refusal) for refusal in candidate.refusals],
            "requirements": [_requirement(one) for one in candidate.decision.requirements]
            if candidate.decision
            else [],
            "updated": at,
        }
        for commit in reversed(candidate.commits[:10]):
            old = kept.pop(commit, None)
            done = isinstance(old, dict) and old.get("outcome") == Outcome.ENFORCED.value
            same = isinstance(old, dict) and old.get("digest") == candidate.digest
            since = old.get("since", at) if same and isinstance(old, dict) else at
            kept[commit] = (
                old
                if done and same and not (candidate.outcome is Outcome.ENFORCED and candidate.decision)
                else row | {"since": since}
            )
    return dict(list(kept.items())[-limits.MAX_CANDIDATES :])
