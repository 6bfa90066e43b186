"""The answer to *may this manifest be enforced*, as values and as JSON (approvals.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.approval.reasons import Reason

if TYPE_CHECKING:
    from marbleops.approval.floors import Floors
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest

_MAX_ROWS = 4096
_MAX_TEXT = 65_536


class Outcome(StrEnum):
    """What came of a candidate."""

    WOULD_APPLY = "would-apply"
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ChangeClass(StrEnum):
    """How much agreement a change needs (approvals.md section 3); the last three include each other."""

    GENESIS = "genesis"
    PACKAGE_BUMP = "package-bump"
    FULL = "full"
    POLICY = "policy"
    WEAKENING = "weakening"


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceVerdict:
    """What one piece of evidence was found to be. ``reason`` is set exactly where ``counted`` is false."""

    index: int
    kind: str
    counted: bool
    use: str | None = None
    user: str | None = None
    fingerprint: str | None = None
    payload_digest: Digest | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A number of distinct people that the change needs, who is there, and who could still help."""

    words: str
    needed: int
    have: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One reason against the manifest, with its place in the text where it has one."""

    reason: Reason
    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedApproval:
    """A vote or key proof that counted: what the history keeps of it."""

    user: str
    kind: str
    fingerprint: str
    payload_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The whole answer; ``manifest`` and ``floors`` (after the change) never go on the wire."""

    outcome: Outcome
    digest: Digest
    change_class: ChangeClass | None = None
    weakens: tuple[str, ...] = ()
    version: int | None = None
    pieces: tuple[PieceVerdict, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    approvals: tuple[CountedApproval, ...] = ()
    key_proofs: tuple[CountedApproval, ...] = ()
    manifest: Manifest | None = field(default=None, repr=False)
    floors: Floors | None = field(default=None, repr=False)
    summary: str = ""

    def __post_init__(self) -> None:
        if self.outcome in (Outcome.WOULD_APPLY, Outcome.APPLIED):
            # approvals.md section 1: applied is unreachable with no counted person.
            assert not self.refusals, "a decision to apply has no refusals"
            assert any(piece.counted and piece.use == "approval" for piece in self.pieces), "nobody approved"
        if self.outcome is Outcome.REFUSED:
            assert self.refusals, "a refusal says why"


def applied(decision: Decision) -> Decision:
    """Say of a decision that it was carried out: the Coordinator does, once the transition is durable."""
    assert decision.outcome is Outcome.WOULD_APPLY, "only what may be applied was applied"
    return replace(decision, outcome=Outcome.APPLIED)


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """Render the answer of the update call."""
    return {
        "outcome": decision.outcome.value,
        "class": decision.change_class.value if decision.change_class else None,
        "weakens": list(decision.weakens),
        "version": decision.version,
        "digest": str(decision.digest),
        "pieces": [_piece_to_json(piece) for piece in decision.pieces],
        "required": [
            {"words": row.words, "needed": row.needed, "have": row.have, "missing": list(row.missing)}
            for row in decision.requirements
        ],
        "refusals": [
            {
                "reason": row.reason.value,
                "message": row.message,
                "path": row.path,
                "line": row.line,
                "column": row.column,
            }
            for row in decision.refusals
        ],
        "summary": decision.summary,
    }


def decision_from_json(value: object) -> Decision:
    """Read an answer, for clients; approvals are rebuilt from the counted pieces. Raises JsonShapeError."""
    given = jsonread.members(
        value,
        required=(
            "outcome",
            "class",
            "weakens",
            "version",
            "digest",
            "pieces",
            "required",
            "refusals",
            "summary",
        ),
    )
    try:
        pieces = tuple(
            _piece_from_json(row)
            for row in jsonread.items(given["pieces"], name="pieces", max_items=_MAX_ROWS)
        )
        return Decision(
            outcome=Outcome(given["outcome"]),
            digest=jsonread.digest(given["digest"], name="digest"),
            change_class=None if given["class"] is None else ChangeClass(given["class"]),
            weakens=jsonread.texts(
                given["weakens"], name="weakens", max_items=_MAX_ROWS, max_chars=_MAX_TEXT
            ),
            version=None if given["version"] is None else jsonread.integer(given["version"], name="version"),
            pieces=pieces,
            requirements=tuple(_requirement_from_json(row) for row in _rows(given, "required")),
            refusals=tuple(_refusal_from_json(row) for row in _rows(given, "refusals")),
            approvals=tuple(_counted(piece) for piece in pieces if piece.counted and piece.use == "approval"),
            key_proofs=tuple(
                _counted(piece) for piece in pieces if piece.counted and piece.use == "key-proof"
            ),
            summary=jsonread.text(given["summary"], name="summary", max_chars=_MAX_TEXT),
        )
    except jsonread.JsonShapeError:
        raise
    except (ValueError, AssertionError) as error:
        # An unknown outcome, class or reason, or an answer that contradicts itself.
        raise jsonread.JsonShapeError(f"not a decision: {error}") from error


def counted_to_json(counted: CountedApproval) -> dict[str, Any]:
    """Render a counted vote or proof as it stands in records."""
    return {
        "user": counted.user,
        "kind": counted.kind,
        "fingerprint": counted.fingerprint,
        "payloadDigest": str(counted.payload_digest),
    }


def counted_from_json(value: object) -> CountedApproval:
    """Read a counted vote or proof; raises JsonShapeError."""
    given = jsonread.members(value, required=("user", "kind", "fingerprint", "payloadDigest"))
    return CountedApproval(
        user=jsonread.text(given["user"], name="user", max_chars=256),
        kind=jsonread.text(given["kind"], name="kind", max_chars=32),
        fingerprint=jsonread.text(given["fingerprint"], name="fingerprint", max_chars=256),
        payload_digest=jsonread.digest(given["payloadDigest"], name="payloadDigest"),
    )


def _rows(given: Any, name: str) -> list[Any]:
    return jsonread.items(given[name], name=name, max_items=_MAX_ROWS)


def _piece_to_json(piece: PieceVerdict) -> dict[str, Any]:
    return {
        "index": piece.index,
        "kind": piece.kind,
        "verdict": "counted" if piece.counted else "refused",
        "use": piece.use,
        "user": piece.user,
        "fingerprint": piece.fingerprint,
        "payloadDigest": str(piece.payload_digest) if piece.payload_digest else None,
        "reason": piece.reason.value if piece.reason else None,
        "message": piece.message,
    }


def _piece_from_json(value: object) -> PieceVerdict:
    given = jsonread.members(
        value,
        required=(
            "index",
            "kind",
            "verdict",
            "use",
            "user",
            "fingerprint",
            "payloadDigest",
            "reason",
            "message",
        ),
    )
    if given["verdict"] not in ("counted", "refused"):
        raise jsonread.JsonShapeError("verdict: expected 'counted' or 'refused'")
    return PieceVerdict(
        index=jsonread.integer(given["index"], name="index"),
        kind=jsonread.text(given["kind"], name="kind", max_chars=32),
        counted=given["verdict"] == "counted",
        use=_optional_text(given["use"], "use"),
        user=_optional_text(given["user"], "user"),
        fingerprint=_optional_text(given["fingerprint"], "fingerprint"),
        payload_digest=jsonread.optional_digest(given["payloadDigest"], name="payloadDigest"),
        reason=None if given["reason"] is None else Reason(given["reason"]),
        message=jsonread.text(given["message"], name="message", max_chars=_MAX_TEXT),
    )


def _requirement_from_json(value: object) -> Requirement:
    given = jsonread.members(value, required=("words", "needed", "have", "missing"))
    return Requirement(
        words=jsonread.text(given["words"], name="words", max_chars=_MAX_TEXT),
        needed=jsonread.integer(given["needed"], name="needed"),
        have=jsonread.integer(given["have"], name="have"),
        missing=jsonread.texts(given["missing"], name="missing", max_items=_MAX_ROWS, max_chars=256),
    )


def _refusal_from_json(value: object) -> Refusal:
    given = jsonread.members(value, required=("reason", "message", "path", "line", "column"))
    return Refusal(
        reason=Reason(given["reason"]),
        message=jsonread.text(given["message"], name="message", max_chars=_MAX_TEXT),
        path=jsonread.text(given["path"], name="path", max_chars=_MAX_TEXT),
        line=None if given["line"] is None else jsonread.integer(given["line"], name="line", minimum=1),
        column=None
        if given["column"] is None
        else jsonread.integer(given["column"], name="column", minimum=1),
    )


def _optional_text(value: object, name: str) -> str | None:
    return None if value is None else jsonread.text(value, name=name, max_chars=256)


def _counted(piece: PieceVerdict) -> CountedApproval:
    if piece.user is None or piece.fingerprint is None or piece.payload_digest is None:
        raise jsonread.JsonShapeError("a counted piece names its user, key and payload")
    return CountedApproval(
        user=piece.user, kind=piece.kind, fingerprint=piece.fingerprint, payload_digest=piece.payload_digest
    )
