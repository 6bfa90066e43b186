"""Judges one piece of evidence: whose statement is it, about what, and may it count (approvals.md section 2).

Keys and signatures come first and trees last. The kind is derived from the object itself. A vote is only ever
by a key that the enforced manifest lists, for the user it lists it under; a proof only by a key that the
candidate adds. Whether somebody votes twice, or may vote on this change at all, is for ``counting``: here no
piece knows another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from marbleops.approval import sshsig
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import DetachedPiece, ObjectPiece, Piece, piece_digest
from marbleops.approval.gitobject import Commit, Tag, parse_object
from marbleops.approval.reasons import Reason
from marbleops.approval.signed import verify_parsed
from marbleops.approval.statement import (
    Approval,
    approval_statement,
    key_proof_statement,
    read_approval,
    read_key_proof,
)
from marbleops.approval.treevote import check_tree_vote
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.approval.policy import Policy
    from marbleops.approval.sshkey import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a piece is judged against.

    ``voters`` is the policy in force (the candidate's own at genesis); ``voter_of`` and ``newcomer_of`` map
    key material to the user under whom the enforced manifest lists it, or the candidate adds it.
    """

    voters: Policy
    candidate: Policy
    enforced_raw: bytes | None = field(repr=False)
    revoked: frozenset[str]
    withdrawn: frozenset[str]
    voter_of: Mapping[bytes, str]
    newcomer_of: Mapping[bytes, str]
    keys: tuple[PublicKey, ...]

    @property
    def digest(self) -> Digest:
        """The digest that every statement has to name."""
        return self.candidate.manifest.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A piece after judgement. ``use`` is what it may count as, or ``None`` with a ``reason``.

    ``proves`` says that it shows possession of a key that the candidate adds, which a vote can do as well.
    """

    index: int
    kind: str
    use: str | None = None
    proves: bool = False
    user: str | None = None
    key: PublicKey | None = None
    payload_digest: Digest | None = None
    reason: Reason | None = None
    message: str = ""
    tiebreak: bytes = b""


def make_ballot(
    *,
    voters: Policy,
    candidate: Policy,
    enforced_raw: bytes | None,
    revoked: frozenset[str],
    withdrawn: frozenset[str],
) -> Ballot:
    """Index the keys that matter. At genesis *voters* is *candidate* and every listed key is new."""
    genesis = enforced_raw is None
    voter_of = {key.blob: user.name for user in voters.users.values() for key in user.listed}
    newcomers = {
        key.blob: user.name
        for user in candidate.users.values()
        for key in user.listed
        if genesis or voter_of.get(key.blob) != user.name
    }
    users = (*voters.users.values(), *candidate.users.values())
    keys = {key.blob: key for user in users for key in user.listed}
    return Ballot(
        voters=voters,
        candidate=candidate,
        enforced_raw=enforced_raw,
        revoked=revoked,
        withdrawn=withdrawn,
        voter_of=voter_of,
        newcomer_of=newcomers,
        keys=tuple(keys.values()),
    )


def judge(piece: Piece, index: int, ballot: Ballot) -> Judged:
    """Judge one piece alone; never raises for bad evidence."""
    blank = Judged(index=index, kind="unknown")
    try:
        blank = replace(blank, tiebreak=_tiebreak(piece))
        if isinstance(piece, DetachedPiece):
            blank = replace(blank, kind="detached")
            return _judge_detached(piece, blank, ballot)
        parsed: Commit | Tag = parse_object(piece.object)
        kind = "commit" if isinstance(parsed, Commit) else "tag"
        blank = replace(blank, kind=kind, payload_digest=parsed.payload_digest)
        # Presence is judged below: proofs by keys that cannot vote under RequireUserPresence are still
        # proofs.
        verified = verify_parsed(parsed, keys=ballot.keys, require_user_presence=False)
        blank = _signed_by(blank, verified.key, ballot)
        return _judge_object(verified.object, piece, blank, ballot)
    except EvidenceError as error:
        return replace(blank, reason=error.reason, message=error.message)


def _tiebreak(piece: Piece) -> bytes:
    """Name the piece by its bytes; a caller in Python may bring text that no bytes stand for."""
    try:
        return piece_digest(piece).value
    except ValueError as error:
        raise EvidenceError(Reason.MALFORMED_SIGNATURE, "a lone surrogate is not text") from error


def _judge_object(parsed: Commit | Tag, piece: ObjectPiece, blank: Judged, ballot: Ballot) -> Judged:
    approval = read_approval(parsed.message)
    if approval is not None:
        return _judge_approval(approval, blank, ballot)
    proof = read_key_proof(parsed.message)
    if proof is not None:
        if isinstance(parsed, Commit):
            raise EvidenceError(Reason.TRAILER_MISSING, "a key proof is a tag or a detached statement")
        return _judge_proof(
            blank, ballot, fingerprint=proof.fingerprint, lineage=proof.lineage, user=proof.user
        )
    if isinstance(parsed, Tag):
        raise EvidenceError(Reason.TRAILER_MISSING, "the tag holds no statement")
    return _judge_tree_vote(parsed, piece, replace(blank, kind="tree-vote"), ballot)


def _judge_approval(approval: Approval, blank: Judged, ballot: Ballot) -> Judged:
    """Judge a named digest: a vote by a key in force; by a new key naming its user, a proof."""
    key = _key(blank)
    proves = ballot.newcomer_of.get(key.blob) == approval.user
    names_digest = ballot.voter_of.get(key.blob) == approval.user and approval.digest == ballot.digest
    if names_digest and not (proves and _lacks_presence(key, ballot)):
        return _vote(replace(blank, user=approval.user, proves=proves), ballot)
    if proves:
        return replace(blank, use="key-proof", proves=True, user=approval.user)
    if ballot.voter_of.get(key.blob) != approval.user:
        raise EvidenceError(
            Reason.TRAILER_WRONG_SIGNER, f"it speaks for {approval.user}, whose key did not sign"
        )
    raise EvidenceError(Reason.TRAILER_WRONG_DIGEST, f"it approves {approval.digest}, another manifest")


def _judge_proof(blank: Judged, ballot: Ballot, *, fingerprint: str, lineage: str, user: str) -> Judged:
    key = _key(blank)
    if fingerprint != key.fingerprint:
        raise EvidenceError(
            Reason.TRAILER_WRONG_SIGNER, f"it proves {fingerprint}, but {key.fingerprint} signed"
        )
    if lineage != ballot.candidate.lineage:
        raise EvidenceError(Reason.LINEAGE_MISMATCH, f"it is meant for the lineage {lineage}")
    if ballot.newcomer_of.get(key.blob) != user:
        if ballot.voter_of.get(key.blob) == user:
            raise EvidenceError(Reason.DUPLICATE_USER, "this key is in force already and needs no proof")
        raise EvidenceError(
            Reason.TRAILER_WRONG_SIGNER, f"it speaks for {user}, under whom the key is not listed"
        )
    return replace(blank, use="key-proof", proves=True, user=user)


def _judge_detached(piece: DetachedPiece, blank: Judged, ballot: Ballot) -> Judged:
    """Judge a detached signature: the text is written down here, from what is to be decided."""
    signature = sshsig.parse_armor(piece.signature)
    key = next((key for key in ballot.keys if key.blob == signature.public_key), None)
    if key is None:
        raise EvidenceError(Reason.UNKNOWN_KEY, "the key that signed is not listed")
    if piece.user not in (ballot.voter_of.get(key.blob), ballot.newcomer_of.get(key.blob)):
        raise EvidenceError(Reason.TRAILER_WRONG_SIGNER, "the key that signed is not listed under this user")
    candidate = ballot.candidate
    if piece.statement == "key-proof":
        text = key_proof_statement(fingerprint=key.fingerprint, lineage=candidate.lineage, user=piece.user)
    else:
        text = approval_statement(
            lineage=candidate.lineage, version=candidate.version, digest=ballot.digest, user=piece.user
        )
    blank = replace(blank, payload_digest=Digest.of(text))
    sshsig.verify(
        signature, message=text, key=key, namespace=sshsig.NAMESPACE_STATEMENT, require_user_presence=False
    )
    blank = _signed_by(blank, key, ballot)
    if piece.statement == "key-proof":
        return _judge_proof(
            blank, ballot, fingerprint=key.fingerprint, lineage=candidate.lineage, user=piece.user
        )
    return _judge_approval(Approval(digest=ballot.digest, user=piece.user), blank, ballot)


def _judge_tree_vote(commit: Commit, piece: ObjectPiece, blank: Judged, ballot: Ballot) -> Judged:
    user = ballot.voter_of.get(_key(blank).blob)
    if user is None:
        raise EvidenceError(Reason.UNKNOWN_KEY, "the key that signed is not in force yet")
    if ballot.enforced_raw is None:
        raise EvidenceError(Reason.BINDING_NOT_ALLOWED, "the first manifest is approved by statements only")
    if ballot.voters.binding != "tree":
        raise EvidenceError(
            Reason.BINDING_NOT_ALLOWED, "the enforced Binding is digest: name the manifest's digest"
        )
    voted = _vote(replace(blank, user=user), ballot)
    check_tree_vote(
        commit,
        piece,
        path=ballot.voters.path,
        submitted=ballot.candidate.manifest.raw,
        enforced=ballot.enforced_raw,
    )
    return voted


def _vote(blank: Judged, ballot: Ballot) -> Judged:
    """Admit a vote by a key in force; its user is known."""
    key = _key(blank)
    if _lacks_presence(key, ballot):
        raise EvidenceError(
            Reason.USER_PRESENCE_MISSING, f"an {key.algorithm} key cannot show that a person was there"
        )
    if blank.user in ballot.withdrawn:
        raise EvidenceError(Reason.WITHDRAWN, f"{blank.user} withdrew the approval of this manifest")
    return replace(blank, use="approval")


def _lacks_presence(key: PublicKey, ballot: Ballot) -> bool:
    return ballot.voters.require_user_presence and not key.is_security_key


def _signed_by(blank: Judged, key: PublicKey, ballot: Ballot) -> Judged:
    """Note whose good signature this is; a revoked key counts nowhere, not even as a proof."""
    if key.fingerprint in ballot.revoked:
        raise EvidenceError(Reason.KEY_REVOKED, f"the key {key.fingerprint} was revoked in this deployment")
    user = ballot.voter_of.get(key.blob) or ballot.newcomer_of.get(key.blob)
    return replace(blank, key=key, user=user)


def _key(judged: Judged) -> PublicKey:
    assert judged.key is not None, "nothing is read from an object before its signature is good"
    return judged.key
