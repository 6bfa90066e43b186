"""Counts judged pieces per person, and says what a change needs and who is missing (approvals.md 2, 3).

All pieces are judged before any is counted, and every choice between two pieces is made by their content, so
that the order of the evidence cannot matter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from marbleops.approval.decision import ChangeClass, Requirement
from marbleops.approval.reasons import Reason
from marbleops.approval.seating import seat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from marbleops.approval.judge import Ballot, Judged
    from marbleops.approval.policy import Policy
    from marbleops.approval.ratchet import Change

Voters = frozenset[str]


def count(
    judged: Iterable[Judged], *, permitted: Voters, suffices: Callable[[Voters], bool]
) -> tuple[Judged, ...]:
    """Leave one vote per person and one proof per key; every other piece gets its reason.

    *suffices* says whether a set of voters makes the decision succeed: of several tree votes the one counts
    that does, otherwise the one with the smallest payload digest.
    """
    pieces = sorted(judged, key=_order)
    pieces = [_permit(piece, permitted) for piece in pieces]
    pieces = _first_per(pieces, lambda piece: piece.user if _is_digest_vote(piece) else None)
    voters = frozenset(piece.user for piece in pieces if _is_digest_vote(piece) and piece.user)
    pieces = [_refuse_tree_vote_of(piece, voters) for piece in pieces]
    # A second statement by the same person is no vote, but may still prove another key: so proofs come last.
    pieces = _first_per(pieces, lambda piece: _proven_key(piece) if piece.use == "key-proof" else None)
    pieces = [
        _refuse_second(piece) if _is_tree_vote(piece) and piece.user in voters else piece for piece in pieces
    ]
    chosen = _choose_tree_vote([piece for piece in pieces if _is_tree_vote(piece)], voters, suffices)
    return tuple(
        _refuse(piece, Reason.TREE_VOTE_USED, "another tree vote of this request counts")
        if _is_tree_vote(piece) and piece is not chosen
        else piece
        for piece in sorted(pieces, key=lambda piece: piece.index)
    )


def voters_in(counted: Iterable[Judged]) -> Voters:
    """Return the people whose vote counts."""
    return frozenset(piece.user for piece in counted if piece.use == "approval" and piece.user is not None)


def permitted_voters(change: Change, policy: Policy) -> Voters:
    """Return the people who may vote on this change at all."""
    bumpers = (policy.bumpers(package) for package in change.raised)
    return policy.approvers.union(*bumpers)


def requirements(change: Change, policy: Policy, voters: Voters) -> tuple[Requirement, ...]:
    """List what the change needs of people, as far as *voters* bring it. Proofs of keys stand apart."""
    if change.change_class is ChangeClass.PACKAGE_BUMP:
        bump = tuple(_bump_row(package, policy, voters) for package in change.raised)
        full = (
            _approvers_row("approvers", policy.update_threshold, policy, voters),
            *_quorum_rows(policy, voters),
        )
        return full if not _all_met(bump) and _all_met(full) else bump
    if change.change_class is not ChangeClass.WEAKENING:
        return (
            _approvers_row("approvers", policy.update_threshold, policy, voters),
            *_quorum_rows(policy, voters),
        )
    ordinary = (
        _approvers_row("approvers for a weakening", policy.weaken_quorum, policy, voters),
        *_quorum_rows(policy, voters),
    )
    if change.replaced is None or _all_met(ordinary):
        return ordinary
    replacement = _replacement_rows(change.replaced, policy, voters)
    closer = sum(row.needed - row.have for row in replacement) < sum(
        row.needed - row.have for row in ordinary
    )
    return replacement if closer or _all_met(replacement) else ordinary


def are_met(rows: tuple[Requirement, ...]) -> bool:
    """Say whether every requirement is met; none at all is not enough (approvals.md section 1)."""
    return bool(rows) and _all_met(rows)


def unproven_keys(ballot: Ballot, counted: Iterable[Judged]) -> tuple[tuple[str, str], ...]:
    """List (user, fingerprint) of the keys that the candidate adds and nobody proved to have."""
    proven = {
        piece.key.blob
        for piece in counted
        if piece.proves and piece.use is not None and piece.key is not None
    }
    fingerprints = {key.blob: key.fingerprint for key in ballot.keys}
    return tuple(
        sorted((u, fingerprints[blob]) for blob, u in ballot.newcomer_of.items() if blob not in proven)
    )


def _order(piece: Judged) -> tuple[bytes, str, str, bytes]:
    digest = piece.payload_digest.value if piece.payload_digest else b""
    return digest, piece.kind, piece.key.fingerprint if piece.key else "", piece.tiebreak


def _permit(piece: Judged, permitted: Voters) -> Judged:
    if piece.use != "approval" or piece.user in permitted:
        return piece
    if piece.proves:
        return replace(piece, use="key-proof")
    return _refuse(piece, Reason.NOT_PERMITTED, f"{piece.user} may not approve this class of change")


def _first_per(pieces: list[Judged], person: Callable[[Judged], object]) -> list[Judged]:
    seen: set[object] = set()
    kept = []
    for piece in pieces:
        who = person(piece)
        kept.append(_refuse_second(piece) if who is not None and who in seen else piece)
        seen.add(who)
    return kept


def _is_digest_vote(piece: Judged) -> bool:
    return piece.use == "approval" and piece.kind != "tree-vote"


def _is_tree_vote(piece: Judged) -> bool:
    return piece.use == "approval" and piece.kind == "tree-vote"


def _proven_key(piece: Judged) -> bytes | None:
    return piece.key.blob if piece.key else None


def _refuse_tree_vote_of(piece: Judged, voters: Voters) -> Judged:
    return _refuse_second(piece) if _is_tree_vote(piece) and piece.user in voters else piece


def _refuse_second(piece: Judged) -> Judged:
    if piece.use == "approval" and piece.proves:
        return replace(piece, use="key-proof")
    return _refuse(piece, Reason.DUPLICATE_USER, f"another piece by {piece.user} counts already")


def _refuse(piece: Judged, reason: Reason, message: str) -> Judged:
    return replace(piece, use=None, reason=reason, message=message)


def _choose_tree_vote(
    votes: list[Judged], voters: Voters, suffices: Callable[[Voters], bool]
) -> Judged | None:
    succeeding = (vote for vote in votes if vote.user is not None and suffices(voters | {vote.user}))
    return next(succeeding, votes[0] if votes else None)


def _bump_row(package: str, policy: Policy, voters: Voters) -> Requirement:
    able = policy.bumpers(package)
    return _row(f"may raise the SecurityVersion of {package}", policy.package_threshold, able, voters)


def _approvers_row(words: str, needed: int, policy: Policy, voters: Voters) -> Requirement:
    return _row(words, needed, policy.approvers, voters)


def _row(words: str, needed: int, able: Voters, voters: Voters) -> Requirement:
    have = len(able & voters)
    missing = tuple(sorted(able - voters)) if have < needed else ()
    return Requirement(words=words, needed=needed, have=have, missing=missing)


def _quorum_rows(policy: Policy, voters: Voters, *, filled_by: str | None = None) -> tuple[Requirement, ...]:
    """List the quorum's rows as the approvers among *voters* can seat them, each person once."""
    filled = frozenset() if filled_by is None else frozenset({filled_by})
    present = (voters | filled) & policy.approvers
    seated = seat(policy.quorum, {name: policy.users[name].roles for name in present})
    rows = []
    for role, needed in policy.quorum.items():
        have = len(seated[role])
        able = {name for name in policy.approvers - voters if role in policy.users[name].roles}
        missing = tuple(sorted(able)) if have < needed else ()
        rows.append(Requirement(words=f"quorum {role}", needed=needed, have=have, missing=missing))
    return tuple(rows)


def _replacement_rows(replaced: str, policy: Policy, voters: Voters) -> tuple[Requirement, ...]:
    """Ask for every other approver, at least UpdateThreshold; the replaced one's seats count as filled."""
    others = policy.approvers - {replaced}
    needed = max(len(others), policy.update_threshold)
    row = _row(f"all approvers but {replaced}", needed, others, voters)
    return row, *_quorum_rows(policy, voters - {replaced}, filled_by=replaced)


def _all_met(rows: tuple[Requirement, ...]) -> bool:
    return all(row.have >= row.needed >= 1 for row in rows)
