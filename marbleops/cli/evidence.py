"""Collect what might count as evidence, from a clone or from a folder; the judging is ``approval.decide``'s.

From a clone, by Git's own plumbing: statements in commits of any ref, tags under
``refs/tags/approve/<lineage>/``, detached statements in ``<path>.sigs/``, and the trees of the author's
commit where the policy admits tree votes.

From a folder (``marbleops apply --evidence DIR``, nothing else needed):

* ``manifest.json``: the manifest, byte for byte;
* ``*.commit``, ``*.tag``: raw objects (``git cat-file commit ID``, ``git cat-file tag ID``);
* ``<user>.sig``, ``<user>.key-proof.sig``: armored detached signature of an approval, of a key proof;
* any other ``*.json``: an ``evidence`` array of the call itself (approvals.md section 4), for tree votes.

The reconciler's drop directory has the same layout, without the manifest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import DetachedPiece, ObjectPiece, ParentProof, Piece, decode_evidence
from marbleops.approval.gitobject import Tag, parse_commit, parse_object
from marbleops.approval.statement import read_approval, read_key_proof
from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import MAX_JSON_BYTES, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from marbleops.cli.base import Candidate
    from marbleops.cli.git import Repository
    from marbleops.manifest.digest import Digest

MAX_PIECES = 64
"""As many as the call takes (approvals.md section 2, bounds)."""
MAX_OBJECT = 64 * 1024
MAX_FOUND = 400
MAX_TREE_COMMITS = 16
MANIFEST_FILE = "manifest.json"
_PROOF_SUFFIX, _APPROVAL_SUFFIX = ".key-proof.sig", ".sig"


def collect(repository: Repository, candidate: Candidate, *, tree_votes: bool) -> tuple[Piece, ...]:
    """Return what this clone holds for *candidate*: approvals of its digest first, then key proofs.

    Raises:
        UsageProblem: Git failed.
    """
    lineage, digest = candidate.gitops.lineage, candidate.manifest.digest
    approvals: list[Piece] = []
    proofs: list[Piece] = []
    proven: set[tuple[str, str]] = set()
    for raw in _statement_objects(repository, lineage):
        kind, user = _reads_as(raw, digest)
        piece = ObjectPiece(object=raw, trees=(), parents=())
        if kind == "approval":
            approvals.append(piece)
        elif kind == "proof" and (user, _armor_of(raw)[:200]) not in proven:
            proven.add((user, _armor_of(raw)[:200]))
            proofs.append(piece)
    approvals.extend(_detached_in_tree(repository, candidate))
    if tree_votes:
        approvals.extend(_tree_votes(repository, candidate))
    return tuple((approvals + proofs)[:MAX_PIECES])


def read_folder(folder: Path) -> tuple[bytes, tuple[Piece, ...]]:
    """Return the manifest and the evidence of an evidence folder.

    Raises:
        UsageProblem: no manifest, too many files, or a file that cannot be what its name says.
    """
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES

    raw = read_bytes(folder / MANIFEST_FILE, limit=MAX_MANIFEST_BYTES)
    pieces: list[Piece] = []
    for file in sorted(folder.iterdir()):
        if file.suffix in {".commit", ".tag"}:
            pieces.append(ObjectPiece(object=read_bytes(file, limit=MAX_OBJECT), trees=(), parents=()))
        elif file.name.endswith(_APPROVAL_SUFFIX):
            pieces.append(_detached(file.name, read_bytes(file, limit=MAX_OBJECT)))
        elif file.suffix == ".json" and file.name != MANIFEST_FILE:
            pieces.extend(_wire_pieces(file))
    if len(pieces) > MAX_PIECES:
        raise UsageProblem(f"{len(pieces)} pieces; the call takes {MAX_PIECES}", where=str(folder))
    return raw, tuple(pieces)


def _wire_pieces(file: Path) -> tuple[Piece, ...]:
    try:
        return decode_evidence(json.loads(read_bytes(file, limit=MAX_JSON_BYTES)))
    except (ValueError, RecursionError, EvidenceError) as error:
        raise UsageProblem(f"not the evidence array of the update call: {error}", where=str(file)) from error


def _detached(name: str, raw: bytes) -> DetachedPiece:
    text = raw.decode("ascii", "replace")
    if name.endswith(_PROOF_SUFFIX):
        return DetachedPiece(signature=text, user=name.removesuffix(_PROOF_SUFFIX), statement="key-proof")
    return DetachedPiece(signature=text, user=name.removesuffix(_APPROVAL_SUFFIX), statement="approval")


def _statement_objects(repository: Repository, lineage: str) -> Iterator[bytes]:
    tags = repository.text(
        "for-each-ref",
        f"--count={MAX_FOUND}",
        "--format=%(objecttype) %(objectname)",
        f"refs/tags/approve/{lineage}/",
    )
    for line in tags.splitlines():
        kind, _, name = line.partition(" ")
        if kind == "tag":
            yield from _object(repository, kind, name)
    listed = repository.text(
        "rev-list", "--all", "--regexp-ignore-case", f"--max-count={MAX_FOUND}", "--grep=^Approve-Manifest: "
    )
    for name in listed.splitlines():
        yield from _object(repository, "commit", name)


def _object(repository: Repository, kind: str, name: str) -> Iterator[bytes]:
    if int(repository.text("cat-file", "-s", name)) <= MAX_OBJECT:
        yield repository.raw("cat-file", kind, name)


def _reads_as(raw: bytes, digest: Digest) -> tuple[str, str]:
    """Say what an object claims: an approval of *digest*, a proof of its key, or nothing; and by whom."""
    try:
        parsed = parse_object(raw)
        if parsed.armor is None:
            return "nothing", ""
        approval = read_approval(parsed.message)
        if approval is not None:
            return ("approval" if approval.digest == digest else "proof"), approval.user
        proof = read_key_proof(parsed.message) if isinstance(parsed, Tag) else None
    except EvidenceError:
        return "nothing", ""
    return ("proof", proof.user) if proof is not None else ("nothing", "")


def _armor_of(raw: bytes) -> str:
    """Return the armor's text: its first lines hold the public key, so one proof per key is kept."""
    return parse_object(raw).armor or ""


def _detached_in_tree(repository: Repository, candidate: Candidate) -> Iterator[Piece]:
    folder = f"{candidate.path}.sigs/"
    listed = repository.raw("ls-tree", "-z", "--full-tree", candidate.commit, "--", folder)
    for entry in filter(None, listed.split(b"\0")[:MAX_PIECES]):
        head, _, name = entry.partition(b"\t")
        mode, kind, blob = head.decode().split(" ")
        file = name.decode("utf-8", "replace").removeprefix(folder)
        if kind == "blob" and mode == "100644" and file.endswith(_APPROVAL_SUFFIX):
            yield _detached(file, repository.blob(blob, limit=MAX_OBJECT))


def _tree_votes(repository: Repository, candidate: Candidate) -> Iterator[Piece]:
    """Yield commits that brought these bytes to the path, with the trees that prove it."""
    blob = repository.object_at(f"{candidate.commit}:{candidate.path}")
    listed = repository.text(
        "log",
        "--format=%H",
        "--full-history",
        f"--max-count={MAX_TREE_COMMITS}",
        candidate.commit,
        "--",
        f":(literal){candidate.path}",
    )
    for name in listed.splitlines():
        if repository.object_at(f"{name}:{candidate.path}") != blob:
            continue
        raw = repository.raw("cat-file", "commit", name)
        try:
            commit = parse_commit(raw)
        except EvidenceError:
            continue
        parents = tuple(
            ParentProof(
                object=repository.raw("cat-file", "commit", parent),
                trees=_trees(repository, parent, candidate.path),
            )
            for parent in commit.parents
        )
        yield ObjectPiece(object=raw, trees=_trees(repository, name, candidate.path), parents=parents)


def _trees(repository: Repository, commit: str, path: str) -> tuple[bytes, ...]:
    folders = path.split("/")[:-1]
    names = [
        f"{commit}^{{tree}}",
        *(f"{commit}:{'/'.join(folders[: depth + 1])}" for depth in range(len(folders))),
    ]
    found = (repository.object_at(name) for name in names)
    return tuple(repository.raw("cat-file", "tree", tree) for tree in found if tree is not None)
