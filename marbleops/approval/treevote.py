"""The tree vote: a plain signed commit whose own diff is the change (approvals.md section 2, rules b to d).

A signed commit says only *I saw this tree*. It counts where the author put the submitted bytes at the path
and every parent still had the enforced ones; otherwise unrelated work on top of a planted manifest would be a
vote. The SHA-1 of Git's trees is relied on here and nowhere else, and at most one such vote counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import Commit, object_id, parse_commit
from marbleops.approval.limits import MAX_PARENTS
from marbleops.approval.reasons import Reason
from marbleops.approval.tree import find_blob, index_trees

if TYPE_CHECKING:
    from marbleops.approval.evidence import ObjectPiece


def check_tree_vote(
    commit: Commit, piece: ObjectPiece, *, path: str, submitted: bytes, enforced: bytes
) -> None:
    """Check rules (b), (c) and (d); the signature (a) and the absence of a statement (e) are the caller's.

    Raises:
        EvidenceError: author-differs, content-mismatch, not-introduced, path-not-in-tree, wrong-mode, or what
        the
            parsers of trees and parents raise.
    """
    author, committer = commit.author, commit.committer
    if (author.name, author.email) != (committer.name, committer.email):
        raise EvidenceError(Reason.AUTHOR_DIFFERS, "author and committer differ: somebody else's work")
    if find_blob(root=commit.tree, path=path, trees=index_trees(piece.trees)) != object_id("blob", submitted):
        raise EvidenceError(Reason.CONTENT_MISMATCH, f"the signed tree holds other bytes at {path}")
    if not commit.parents:
        raise EvidenceError(Reason.NOT_INTRODUCED, "a commit without a parent introduces everything")
    if len(commit.parents) > MAX_PARENTS:
        raise EvidenceError(Reason.NOT_INTRODUCED, f"a tree vote has at most {MAX_PARENTS} parents")
    known = {object_id("commit", parent.object): parent for parent in piece.parents}
    for parent_id in dict.fromkeys(commit.parents):
        parent = known.get(parent_id)
        if parent is None:
            raise EvidenceError(Reason.NOT_INTRODUCED, f"the evidence lacks the parent {parent_id}")
        try:
            root = parse_commit(parent.object).tree
            held = find_blob(root=root, path=path, trees=index_trees(parent.trees))
        except EvidenceError as error:
            message = f"the parent {parent_id} does not show the enforced manifest: {error.message}"
            raise EvidenceError(Reason.NOT_INTRODUCED, message) from error
        if held != object_id("blob", enforced):
            raise EvidenceError(Reason.NOT_INTRODUCED, f"the parent {parent_id} holds other bytes at {path}")
