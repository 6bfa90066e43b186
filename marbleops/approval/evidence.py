"""Evidence as values, and its form on the wire (approvals.md section 4).

A piece is a raw commit or tag with the trees that may be needed to judge it, or a detached signature. Nothing
here looks inside an object; this module only bounds sizes and numbers before anything is parsed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from marbleops.approval import jsonread, limits
from marbleops.approval.errors import EvidenceError
from marbleops.approval.reasons import Reason
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_USER_CHARS = 64
"""A user's name as approvals.md section 1 allows it."""

DetachedUse = Literal["approval", "key-proof"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentProof:
    """A raw parent commit and the trees that lead from it to the manifest's path."""

    object: bytes = field(repr=False)
    trees: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPiece:
    """A raw commit or tag. Trees and parents matter to a tree vote only."""

    object: bytes = field(repr=False)
    trees: tuple[bytes, ...] = field(default=(), repr=False)
    parents: tuple[ParentProof, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedPiece:
    """An armored signature over a statement that both sides can write down themselves."""

    signature: str = field(repr=False)
    user: str
    statement: DetachedUse = "approval"


Piece = ObjectPiece | DetachedPiece


def decode_evidence(items: object) -> tuple[Piece, ...]:
    """Read the ``evidence`` member of a call.

    Raises:
        EvidenceError: ``too-large`` where a bound of ``limits`` is exceeded, else ``malformed-object``.
    """
    if isinstance(items, list) and len(items) > limits.MAX_PIECES:
        raise EvidenceError(Reason.TOO_LARGE, f"more than {limits.MAX_PIECES} pieces of evidence")
    try:
        values = jsonread.items(items, name="evidence", max_items=limits.MAX_PIECES)
        pieces = tuple(_decode_piece(value) for value in values)
    except jsonread.JsonShapeError as error:
        raise EvidenceError(Reason.MALFORMED_OBJECT, f"evidence: {error}") from error
    check_bounds(pieces)
    return pieces


def encode_evidence(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """Render pieces for a call; the inverse of decode_evidence."""
    return [piece_to_json(piece) for piece in pieces]


def piece_to_json(piece: Piece) -> dict[str, Any]:
    """Render one piece."""
    if isinstance(piece, DetachedPiece):
        return {"signature": piece.signature, "user": piece.user, "statement": piece.statement}
    rendered: dict[str, Any] = {"object": _encode(piece.object)}
    if piece.trees:
        rendered["trees"] = [_encode(tree) for tree in piece.trees]
    if piece.parents:
        rendered["parents"] = [
            {"object": _encode(parent.object), "trees": [_encode(tree) for tree in parent.trees]}
            for parent in piece.parents
        ]
    return rendered


def encode_piece(piece: Piece) -> bytes:
    """Render one piece as canonical bytes: what is stored beside the history and named there by digest."""
    return canonical_json(piece_to_json(piece))


def piece_digest(piece: Piece) -> Digest:
    """Name one piece by the SHA-256 of its canonical bytes."""
    return Digest.of(encode_piece(piece))


def check_bounds(pieces: Sequence[Piece]) -> None:
    """Refuse evidence that exceeds a bound, before anything in it is parsed.

    Raises:
        EvidenceError: ``too-large``.
    """
    if len(pieces) > limits.MAX_PIECES:
        raise EvidenceError(Reason.TOO_LARGE, f"more than {limits.MAX_PIECES} pieces of evidence")
    total = sum(_check_piece(piece) for piece in pieces)
    if total > limits.MAX_EVIDENCE_BYTES:
        raise EvidenceError(
            Reason.TOO_LARGE, f"evidence of more than {limits.MAX_EVIDENCE_BYTES} bytes in all"
        )


def _decode_piece(value: object) -> Piece:
    if isinstance(value, dict) and "signature" in value:
        given = jsonread.members(value, required=("signature", "user"), optional=("statement",))
        statement = given.get("statement", "approval")
        if statement not in ("approval", "key-proof"):
            raise jsonread.JsonShapeError("statement: expected 'approval' or 'key-proof'")
        user = jsonread.text(given["user"], name="user", max_chars=MAX_USER_CHARS)
        if not isinstance(given["signature"], str) or not given["signature"].isascii():
            raise jsonread.JsonShapeError("signature: expected armored text")
        return DetachedPiece(signature=given["signature"], user=user, statement=statement)
    given = jsonread.members(value, required=("object",), optional=("trees", "parents"))
    parents = jsonread.items(given.get("parents", []), name="parents", max_items=limits.MAX_PARENTS)
    return ObjectPiece(
        object=jsonread.base64_bytes(given["object"], name="object"),
        trees=_decode_trees(given),
        parents=tuple(_decode_parent(parent) for parent in parents),
    )


def _decode_parent(value: object) -> ParentProof:
    given = jsonread.members(value, required=("object",), optional=("trees",))
    return ParentProof(
        object=jsonread.base64_bytes(given["object"], name="object"), trees=_decode_trees(given)
    )


def _decode_trees(given: Any) -> tuple[bytes, ...]:
    trees = jsonread.items(given.get("trees", []), name="trees", max_items=limits.MAX_DEPTH)
    return tuple(jsonread.base64_bytes(tree, name="trees") for tree in trees)


def _check_piece(piece: Piece) -> int:
    if isinstance(piece, DetachedPiece):
        if len(piece.signature) > limits.MAX_ARMOR_CHARS:
            raise EvidenceError(
                Reason.TOO_LARGE, f"a signature of more than {limits.MAX_ARMOR_CHARS} characters"
            )
        return len(piece.signature)
    if len(piece.parents) > limits.MAX_PARENTS:
        raise EvidenceError(Reason.TOO_LARGE, f"more than {limits.MAX_PARENTS} parents")
    return _check_object(piece) + sum(_check_object(parent) for parent in piece.parents)


def _check_object(piece: ObjectPiece | ParentProof) -> int:
    if len(piece.object) > limits.MAX_OBJECT_BYTES:
        raise EvidenceError(Reason.TOO_LARGE, f"an object of more than {limits.MAX_OBJECT_BYTES} bytes")
    if len(piece.trees) > limits.MAX_DEPTH:
        raise EvidenceError(Reason.TOO_LARGE, f"more than {limits.MAX_DEPTH} trees on one path")
    if any(len(tree) > limits.MAX_TREE_BYTES for tree in piece.trees):
        raise EvidenceError(Reason.TOO_LARGE, f"a tree of more than {limits.MAX_TREE_BYTES} bytes")
    return len(piece.object) + sum(len(tree) for tree in piece.trees)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
