"""Collect what may approve a manifest: commits, tags, signature files, a drop directory.

Everything here is untrusted and looked for cheaply first (approvals.md section 5). Pieces are ordered so
that a flood of junk cannot crowd out real ones: first what carries a good signature of a listed key, then,
up to the bounds of the call, what explains a refusal. Whether a piece *counts* is decided by
``marbleops.approval`` alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval import limits as approval_limits
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import (
    DetachedPiece,
    DetachedUse,
    ObjectPiece,
    ParentProof,
    Piece,
    decode_evidence,
)
from marbleops.approval.gitobject import extract_mergetags
from marbleops.approval.signed import verify_object
from marbleops.approval.sshkey import PublicKey, parse_public_key
from reconciler import limits
from reconciler.disk import DiskError, read_bounded
from reconciler.proposals import proposal_commits
from reconciler.repository import CommitLinks, Repository, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from marbleops.approval.enforced import Enforced
    from reconciler.history import Draft

TAG_PREFIX = "refs/tags/approve/"
APPROVALS_PREFIX = "refs/approvals/"

_USER = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
_SIGNATURE_FILE = re.compile(rf"({_USER}?)(\.key-proof)?\.sig", re.ASCII)
_PER_KEY = 4
"""Pieces by one key: one vote and one proof count, the rest is room for mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What evidence is looked for: approvals of these bytes, and proofs of the keys that are new in them."""

    raw: bytes
    digest: str
    path: str
    lineage: str | None
    keys: tuple[PublicKey, ...]
    new_keys: frozenset[str]
    tree_votes: bool

    @classmethod
    def about(cls, draft: Draft, *, path: str, enforced: Enforced | None) -> Question:
        """Ask about *draft*; keys are those of the enforced manifest and, for proofs, of the draft itself."""
        listed = keys_of(draft.raw)
        known = keys_of(enforced.manifest.raw) if enforced else ()
        gitops = enforced.manifest.gitops if enforced else None
        before = {key.fingerprint for key in known}
        unique = {key.fingerprint: key for key in (*known, *listed)}
        return cls(
            raw=draft.raw,
            digest=draft.digest.hex,
            path=path,
            lineage=gitops.lineage if gitops else draft.lineage,
            keys=tuple(unique.values()),
            new_keys=frozenset(key.fingerprint for key in listed) - before,
            tree_votes=gitops is not None and gitops.binding == "tree",
        )

    def mentioned(self, raw: bytes) -> bool:
        """Tell whether *raw* names this manifest, or a key that needs a proof."""
        if self.digest.encode() in raw:
            return True
        return b"Prove-Key:" in raw and any(key.encode() in raw for key in self.new_keys)


def collect(
    repository: Repository,
    draft: Draft,
    *,
    path: str,
    enforced: Enforced | None,
    tip: str | None = None,
    dropped: Sequence[Piece] = (),
) -> tuple[Piece, ...]:
    """Collect at most one call's worth of evidence for *draft*, the most promising first.

    *tip* is looked at for signature files besides the draft's own commits; *dropped* came by another way.

    Raises:
        RepositoryError: the repository is damaged.
    """
    question = Question.about(draft, path=path, enforced=enforced)
    pieces = [
        *_commits(repository, draft, question),
        *_named(repository, question),
        *_proposed(repository, draft, question),
        *_signature_files(repository, (draft.commit, *((tip,) if tip else ())), path),
        *dropped,
    ]
    return _bounded(pieces, question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Evidence that came by another way than Git, and what is wrong with the rest of the folder."""

    pieces: tuple[Piece, ...] = ()
    complaints: tuple[str, ...] = ()


def read_directory(folder: Path) -> Dropped:
    """Read a drop directory. A missing folder is an empty one; what cannot be read is left out, and named.

    ``<user>.sig`` and ``<user>.key-proof.sig`` are detached signatures, ``*.commit`` and ``*.tag`` raw
    objects, ``*.json`` lists of pieces as the update call takes them (``manifest.json`` is none).
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return Dropped()
    except OSError as error:
        return Dropped(complaints=(f"{folder}: {error.strerror}",))
    pieces: list[Piece] = []
    complaints: list[str] = []
    for path in paths[: limits.MAX_SIGNATURE_FILES]:
        try:
            pieces.extend(_dropped(path))
        except DiskError as error:
            complaints.append(str(error))
    return Dropped(pieces=tuple(pieces), complaints=tuple(complaints))


def _dropped(path: Path) -> tuple[Piece, ...]:
    if path.suffix in {".commit", ".tag"}:
        return (ObjectPiece(object=read_bounded(path, approval_limits.MAX_OBJECT_BYTES) or b""),)
    if path.suffix == ".json" and path.name != "manifest.json":
        return _evidence_file(path)
    if path.suffix == ".sig":
        return tuple(_detached(path.name, read_bounded(path, approval_limits.MAX_ARMOR_CHARS) or b""))
    return ()


def keys_of(raw: bytes) -> tuple[PublicKey, ...]:
    """Read the signing keys a manifest lists, leniently; what is no usable key is left out."""
    try:
        users = json.loads(raw).get("Users", {})
        texts = [text for user in users.values() for text in user.get("SigningKeys", ())]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()
    keys = []
    for text in texts:
        try:
            keys.append(parse_public_key(text))
        except (EvidenceError, TypeError, AttributeError):
            continue
    return tuple(keys)


def _commits(repository: Repository, draft: Draft, question: Question) -> Iterator[Piece]:
    first = draft.commits[-1]
    for commit_id in draft.commits:
        commit = repository.commit(commit_id)
        for tag in _merged_tags(commit.raw):
            yield ObjectPiece(object=tag)
        if b"\ngpgsig" in commit.raw or commit_id in {draft.commit, first}:
            yield _commit_piece(repository, commit, question)


def _commit_piece(repository: Repository, commit: CommitLinks, question: Question) -> ObjectPiece:
    plain = ObjectPiece(object=commit.raw)
    if (
        not question.tree_votes
        or b"approve-manifest:" in commit.raw.lower()
        or _signer(commit.raw, question) is None
    ):
        return plain
    try:
        trees = repository.trees(commit.tree, question.path)
        parents = [repository.commit(parent) for parent in commit.parents[: approval_limits.MAX_PARENTS]]
    except RepositoryError:
        return plain
    return ObjectPiece(
        object=commit.raw,
        trees=trees,
        parents=tuple(
            ParentProof(object=parent.raw, trees=_trees(repository, parent.tree, question.path))
            for parent in parents
        ),
    )


def _trees(repository: Repository, tree: str, path: str) -> tuple[bytes, ...]:
    try:
        return repository.trees(tree, path)
    except RepositoryError:
        return ()  # the parent does not hold the file: the judge will say so


def _merged_tags(raw: bytes) -> tuple[bytes, ...]:
    try:
        return extract_mergetags(raw)
    except EvidenceError:
        return ()  # no evidence either, and the judge says so of the commit itself


def _proposed(repository: Repository, draft: Draft, question: Question) -> Iterator[Piece]:
    for commit in proposal_commits(repository, blob=draft.blob, path=question.path):
        if b"\ngpgsig" in commit.raw:
            yield _commit_piece(repository, commit, question)


def _named(repository: Repository, question: Question) -> Iterator[Piece]:
    """Yield objects that refs made for approvals point at: tags of the lineage, and `refs/approvals/`."""
    tags = repository.references(f"{TAG_PREFIX}{question.lineage}/") if question.lineage else ()
    for _, target in (*tags, *repository.references(APPROVALS_PREFIX)):
        try:
            kind, raw = repository.read(target, limit=approval_limits.MAX_OBJECT_BYTES)
        except RepositoryError:
            continue  # larger than any evidence may be
        if kind in {"tag", "commit"} and question.mentioned(raw):
            yield ObjectPiece(object=raw)


def _signature_files(repository: Repository, commits: tuple[str, ...], path: str) -> Iterator[Piece]:
    seen: set[str] = set()
    for commit in commits:
        for name, blob in repository.folder(repository.commit(commit).tree, f"{path}.sigs"):
            if blob in seen:
                continue
            seen.add(blob)
            try:
                yield from _detached(name, repository.read(blob, limit=approval_limits.MAX_ARMOR_CHARS)[1])
            except RepositoryError:
                continue


def _detached(name: str, content: bytes) -> Iterator[Piece]:
    match = _SIGNATURE_FILE.fullmatch(name)
    if match is None or not match.group(1):
        return
    use: DetachedUse = "key-proof" if match.group(2) else "approval"
    user = match.group(1)
    try:
        yield DetachedPiece(signature=content.decode("ascii"), user=user, statement=use)
    except UnicodeDecodeError:
        return


def _evidence_file(path: Path) -> tuple[Piece, ...]:
    try:
        content = read_bounded(path, 2 * approval_limits.MAX_EVIDENCE_BYTES)
        return decode_evidence(json.loads(content or b"[]"))
    except (ValueError, RecursionError, EvidenceError) as error:
        raise DiskError(f"{path}: not a list of evidence: {error}") from error


def _signer(raw: bytes, question: Question) -> str | None:
    try:
        return verify_object(raw, keys=question.keys, require_user_presence=False).key.fingerprint
    except EvidenceError:
        return None


def _bounded(pieces: list[Piece], question: Question) -> tuple[Piece, ...]:
    """Order by promise, drop repetitions, and cut at the bounds of one call."""
    good: list[Piece] = []
    rest: list[Piece] = []
    by_key: Counter[str] = Counter()
    for piece in dict.fromkeys(pieces):
        if isinstance(piece, DetachedPiece):
            claimed = f"{piece.statement} {piece.user}"
            (good if by_key[claimed] < _PER_KEY else rest).append(piece)
            by_key[claimed] += 1
            continue
        signer = _signer(piece.object, question)
        promising = signer is not None and (question.mentioned(piece.object) or bool(piece.trees))
        if signer is None or not promising or by_key[signer] >= _PER_KEY:
            rest.append(piece)
        else:
            by_key[signer] += 1
            good.append(piece)
    kept: list[Piece] = []
    room = approval_limits.MAX_EVIDENCE_BYTES
    for piece in (*good, *rest):
        size = _size(piece)
        fits = not isinstance(piece, ObjectPiece) or len(piece.object) <= approval_limits.MAX_OBJECT_BYTES
        if fits and size <= room and len(kept) < approval_limits.MAX_PIECES:
            room -= size
            kept.append(piece)
    return tuple(kept)


def _size(piece: Piece) -> int:
    if isinstance(piece, DetachedPiece):
        return len(piece.signature)
    parents = sum(len(parent.object) + sum(map(len, parent.trees)) for parent in piece.parents)
    return len(piece.object) + sum(map(len, piece.trees)) + parents
