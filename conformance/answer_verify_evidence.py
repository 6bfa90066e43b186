"""Answers a `verify-evidence` question with this implementation; see ``cases_verify_evidence``."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import Commit, object_id
from marbleops.approval.reasons import Reason
from marbleops.approval.signed import VerifiedObject, verify_detached, verify_object
from marbleops.approval.sshkey import PublicKey, parse_public_key
from marbleops.approval.statement import approval_statement, read_approval
from marbleops.approval.tree import find_blob, index_trees
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping


def answer(question: Mapping[str, Any]) -> dict[str, str]:
    """Return ``verdict``, and ``reason`` or ``signer`` (a fingerprint) and ``payloadDigest``."""
    try:
        return {"verdict": "accept", **_accept(question)}
    except EvidenceError as error:
        return {"verdict": "reject", "reason": str(error.reason)}


def _accept(question: Mapping[str, Any]) -> dict[str, str]:
    keys = [parse_public_key(line) for line in question["keys"]]
    presence = question.get("requireUserPresence", False)
    if "signature" in question:
        return {"signer": _detached(question, keys, require_user_presence=presence).fingerprint}
    verified = verify_object(base64.b64decode(question["object"]), keys=keys, require_user_presence=presence)
    if "statement" in question:
        said = question["statement"]
        _check_approval(verified.object.message, digest=Digest.parse(said["digest"]), user=said["user"])
    if "path" in question:
        _check_path(question, verified)
    return {
        "signer": verified.key.fingerprint,
        "payloadDigest": str(verified.object.payload_digest),
    }


def _detached(
    question: Mapping[str, Any], keys: list[PublicKey], *, require_user_presence: bool
) -> PublicKey:
    said = question["statement"]
    message = approval_statement(
        lineage=said["lineage"],
        version=said["version"],
        digest=Digest.parse(said["digest"]),
        user=said["user"],
    )
    return verify_detached(
        question["signature"],
        message=message,
        keys=keys,
        namespace=question["namespace"],
        require_user_presence=require_user_presence,
    )


def _check_approval(message: str, *, digest: Digest, user: str) -> None:
    approval = read_approval(message)
    if approval is None:
        raise EvidenceError(Reason.TRAILER_MISSING, "no line approves a manifest")
    if approval.digest != digest:
        raise EvidenceError(Reason.TRAILER_WRONG_DIGEST, "it approves another manifest")
    if approval.user != user:
        raise EvidenceError(Reason.TRAILER_WRONG_SIGNER, "it speaks for another user")


def _check_path(question: Mapping[str, Any], verified: VerifiedObject) -> None:
    assert isinstance(verified.object, Commit), "only commits have a tree"
    trees = index_trees(base64.b64decode(tree) for tree in question["trees"])
    found = find_blob(root=verified.object.tree, path=question["path"], trees=trees)
    if found != object_id("blob", question["content"].encode()):
        raise EvidenceError(Reason.CONTENT_MISMATCH, "the tree holds other bytes at the path")
