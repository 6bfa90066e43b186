"""May this manifest be enforced? One pure function over bytes (approvals.md, all of it).

The enforced policy decides; at genesis, where there is none, the candidate's own. What is cheap is checked
first and reported together; signatures are judged only for a manifest that nothing cheap speaks against,
trees after keys, and people are counted last. No clock, no randomness, no files: the same bytes give the same
answer, whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from marbleops.approval import counting
from marbleops.approval.decision import (
    ChangeClass,
    CountedApproval,
    Decision,
    Outcome,
    PieceVerdict,
    Refusal,
    Requirement,
)
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import DetachedPiece, Piece, check_bounds
from marbleops.approval.floors import NO_FLOORS, advance
from marbleops.approval.judge import Ballot, Judged, judge, make_ballot
from marbleops.approval.policy import MAX_REFUSALS, Policy, PolicyError, read_policy, refusal_at
from marbleops.approval.ratchet import Change, classify, weakening_words
from marbleops.approval.reasons import Reason
from marbleops.approval.standing import check_genesis, check_revoked, check_succession
from marbleops.approval.summary import summarise
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.template import dry_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from marbleops.approval.enforced import Enforced
    from marbleops.manifest.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is to be decided, as far as it is known. ``policy`` is the one that decides."""

    enforced: Enforced | None
    digest: Digest
    evidence: Sequence[Piece]
    manifest: Manifest | None = None
    policy: Policy | None = None
    candidate: Policy | None = None
    change: Change | None = None
    refusals: tuple[Refusal, ...] = ()


def decide(*, enforced: Enforced | None, raw: bytes, evidence: Sequence[Piece]) -> Decision:
    """Decide whether the manifest *raw* may replace what is enforced (``None`` in a fresh Coordinator).

    Never raises for bad input: every problem is a refusal in the answer. A decision that may be carried out
    holds the parsed manifest and the floors after it.
    """
    if enforced is not None and enforced.manifest.raw == raw:
        return _unchanged(enforced, evidence)
    question = _consider(enforced, raw, evidence)
    if question.refusals:
        return _refuse_early(question)
    return _put_to_the_vote(question)


def _consider(enforced: Enforced | None, raw: bytes, evidence: Sequence[Piece]) -> _Question:
    """Find everything that is cheap to know: shape, standing, policy, class."""
    digest = Digest.of(raw)
    try:
        check_bounds(evidence)
        manifest = load(raw, strictness=Strictness.STRICT)
        dry_run(manifest)
    except EvidenceError as error:
        refusals: tuple[Refusal, ...] = (Refusal(reason=error.reason, message=error.message),)
        return _Question(enforced=enforced, digest=digest, evidence=evidence, refusals=refusals)
    except ManifestError as error:
        refusals = tuple(_from_issues(error))
        return _Question(enforced=enforced, digest=digest, evidence=evidence, refusals=refusals)
    standing = check_genesis(manifest) if enforced is None else check_succession(manifest, enforced)
    found = list(islice(standing, MAX_REFUSALS))
    policy = candidate = change = None
    if manifest.gitops is not None:
        try:
            candidate = read_policy(manifest, revoked=enforced.revoked if enforced else frozenset())
            policy = read_policy(enforced.manifest, revoked=enforced.revoked) if enforced else candidate
        except PolicyError as error:
            found += error.issues
    if policy is not None and candidate is not None:
        change = Change(change_class=ChangeClass.GENESIS)
        if enforced is not None:
            found += islice(check_revoked(policy, candidate, enforced.revoked), MAX_REFUSALS)
            change = classify(policy, candidate, enforced.attested)
    return _Question(
        enforced=enforced,
        digest=digest,
        evidence=evidence,
        manifest=manifest,
        policy=policy,
        candidate=candidate,
        change=change,
        refusals=tuple(found),
    )


def _put_to_the_vote(question: _Question) -> Decision:
    """Judge every piece, then count people against what the class needs."""
    policy, candidate, change = question.policy, question.candidate, question.change
    assert policy is not None, "a manifest without refusals has a policy that decides"
    assert candidate is not None, "a manifest without refusals has a policy"
    assert change is not None, "a manifest without refusals has a class"
    ballot = _ballot(question.enforced, policy, candidate)
    judged = [judge(piece, index, ballot) for index, piece in enumerate(question.evidence)]

    def suffices(voters: frozenset[str]) -> bool:
        return counting.are_met(counting.requirements(change, policy, voters))

    permitted = counting.permitted_voters(change, policy)
    counted = counting.count(judged, permitted=permitted, suffices=suffices)
    voters = counting.voters_in(counted)
    rows = counting.requirements(change, policy, voters)
    unproven = counting.unproven_keys(ballot, counted)
    refusals = (*_missing_people(change, policy, rows, candidate), *_missing_proofs(candidate, unproven))
    return _answer(question, change, counted, refusals, (*rows, *_proof_rows(ballot, unproven)))


def _answer(
    question: _Question,
    change: Change,
    counted: tuple[Judged, ...],
    refusals: tuple[Refusal, ...],
    rows: tuple[Requirement, ...],
) -> Decision:
    enforced, manifest = question.enforced, question.manifest
    assert manifest is not None, "only a parsed manifest is put to the vote"
    approvals = tuple(_counted(piece) for piece in counted if piece.use == "approval")
    # approvals.md section 1: applied is unreachable with no counted person, whatever went wrong above.
    assert refusals or approvals, "a change that nobody approved met its requirements"
    floors = enforced.floors if enforced else NO_FLOORS
    return Decision(
        outcome=Outcome.REFUSED if refusals else Outcome.WOULD_APPLY,
        digest=question.digest,
        change_class=change.change_class,
        weakens=weakening_words(change.weakenings),
        version=_version(manifest),
        pieces=tuple(_verdict(piece) for piece in counted),
        requirements=rows,
        refusals=refusals,
        approvals=tuple(sorted(approvals, key=_by_user)),
        key_proofs=_proofs(counted),
        manifest=manifest,
        floors=None if refusals else advance(floors, enforced.manifest if enforced else None, manifest),
        summary=summarise(rows, refusals, voters=counting.voters_in(counted)),
    )


def _ballot(enforced: Enforced | None, policy: Policy, candidate: Policy) -> Ballot:
    if enforced is None:
        return make_ballot(
            voters=policy, candidate=candidate, enforced_raw=None, revoked=frozenset(), withdrawn=frozenset()
        )
    return make_ballot(
        voters=policy,
        candidate=candidate,
        enforced_raw=enforced.manifest.raw,
        revoked=enforced.revoked,
        withdrawn=enforced.withdrawn.get(candidate.manifest.digest, frozenset()),
    )


def _missing_people(
    change: Change, policy: Policy, rows: tuple[Requirement, ...], candidate: Policy
) -> Iterator[Refusal]:
    """Say which requirement on people is not met, in the words of the class."""
    if counting.are_met(rows):
        return
    people, quorum = (rows, ()) if change.change_class is ChangeClass.PACKAGE_BUMP else (rows[:1], rows[1:])
    for row in people:
        if row.have >= row.needed:
            continue
        message = f"{row.words}: {row.have} of {row.needed}"
        if change.change_class is ChangeClass.WEAKENING:
            yield Refusal(reason=Reason.WEAKENING_NOT_APPROVED, message=message)
        if change.change_class is not ChangeClass.WEAKENING or row.have < policy.update_threshold:
            yield Refusal(reason=Reason.THRESHOLD_NOT_MET, message=message)
    for row in quorum:
        if row.have < row.needed:
            yield Refusal(reason=Reason.QUORUM_NOT_MET, message=f"{row.words}: {row.have} of {row.needed}")
    for name in change.beyond:
        message = (
            f"no verified activation of {name} has shown this SecurityVersion, so the change is class full"
        )
        path = ("Packages", name, "SecurityVersion")
        yield refusal_at(candidate.manifest, Reason.BEYOND_ATTESTED, path, message)


def _missing_proofs(candidate: Policy, unproven: tuple[tuple[str, str], ...]) -> Iterator[Refusal]:
    for user, fingerprint in unproven[:MAX_REFUSALS]:
        listed = [key.fingerprint for key in candidate.users[user].listed]
        path = ("Users", user, "SigningKeys", listed.index(fingerprint))
        message = f"{user} has not shown to hold the new key {fingerprint}"
        yield refusal_at(candidate.manifest, Reason.NEW_KEY_UNPROVEN, path, message)


def _proof_rows(ballot: Ballot, unproven: tuple[tuple[str, str], ...]) -> tuple[Requirement, ...]:
    needed = len(ballot.newcomer_of)
    if not needed:
        return ()
    missing = tuple(f"{user} {fingerprint}" for user, fingerprint in unproven)
    return (Requirement(words="key proofs", needed=needed, have=needed - len(missing), missing=missing),)


def _refuse_early(question: _Question) -> Decision:
    """Answer without having looked at a single signature."""
    change = question.change
    return Decision(
        outcome=Outcome.REFUSED,
        digest=question.digest,
        change_class=change.change_class if change else None,
        weakens=weakening_words(change.weakenings) if change else (),
        version=_version(question.manifest),
        pieces=_not_evaluated(question.evidence),
        refusals=question.refusals,
        manifest=question.manifest,
        summary=summarise((), question.refusals, voters=frozenset()),
    )


def _unchanged(enforced: Enforced, evidence: Sequence[Piece]) -> Decision:
    return Decision(
        outcome=Outcome.UNCHANGED,
        digest=enforced.manifest.digest,
        version=_version(enforced.manifest),
        pieces=_not_evaluated(evidence),
        manifest=enforced.manifest,
        floors=enforced.floors,
        summary="enforced already",
    )


def _not_evaluated(evidence: Sequence[Piece]) -> tuple[PieceVerdict, ...]:
    return tuple(
        PieceVerdict(
            index=index,
            kind="detached" if isinstance(piece, DetachedPiece) else "unknown",
            counted=False,
            reason=Reason.NOT_EVALUATED,
            message="nothing depended on it any more",
        )
        for index, piece in enumerate(evidence)
    )


def _from_issues(error: ManifestError) -> Iterator[Refusal]:
    for issue in error.issues:
        message = f"{issue.message} ({issue.hint})" if issue.hint else issue.message
        yield Refusal(
            reason=Reason(issue.code.value),
            message=message,
            path=issue.path,
            line=issue.line,
            column=issue.column,
        )


def _verdict(piece: Judged) -> PieceVerdict:
    return PieceVerdict(
        index=piece.index,
        kind=piece.kind,
        counted=piece.use is not None,
        use=piece.use,
        user=piece.user,
        fingerprint=piece.key.fingerprint if piece.key else None,
        payload_digest=piece.payload_digest,
        reason=piece.reason,
        message=piece.message,
    )


def _counted(piece: Judged) -> CountedApproval:
    assert piece.user is not None, "a counted piece has a user"
    assert piece.key is not None, "a counted piece has a key"
    assert piece.payload_digest is not None, "a counted piece has a payload"
    return CountedApproval(
        user=piece.user,
        kind=piece.kind,
        fingerprint=piece.key.fingerprint,
        payload_digest=piece.payload_digest,
    )


def _proofs(counted: tuple[Judged, ...]) -> tuple[CountedApproval, ...]:
    """Keep one proof per new key: a statement made for it, else a vote by the same key."""
    kept: dict[str, CountedApproval] = {}
    for use in ("key-proof", "approval"):
        for piece in sorted(
            (piece for piece in counted if piece.proves and piece.use == use), key=_by_digest
        ):
            proof = _counted(piece)
            kept.setdefault(proof.fingerprint, proof)
    return tuple(sorted(kept.values(), key=_by_user))


def _by_user(counted: CountedApproval) -> tuple[str, str]:
    return counted.user, counted.fingerprint


def _by_digest(piece: Judged) -> bytes:
    return piece.payload_digest.value if piece.payload_digest else b""


def _version(manifest: Manifest | None) -> int | None:
    return manifest.gitops.version if manifest is not None and manifest.gitops is not None else None
