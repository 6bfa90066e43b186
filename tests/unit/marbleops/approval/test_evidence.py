"""The wire form of evidence is strict and bounded before anything is parsed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from marbleops.approval import evidence, limits
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import (
    DetachedPiece,
    ObjectPiece,
    ParentProof,
    decode_evidence,
    encode_evidence,
)
from marbleops.approval.reasons import Reason

PIECES = (
    ObjectPiece(object=b"tree", trees=(b"a", b"b"), parents=(ParentProof(object=b"p", trees=(b"c",)),)),
    ObjectPiece(object=b"tag"),
    DetachedPiece(signature="armor", user="carol"),
    DetachedPiece(signature="armor", user="carol", statement="key-proof"),
)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_encode_and_decode_are_inverse() -> None:
    """What a client sends is what the Coordinator judges."""
    assert decode_evidence(encode_evidence(PIECES)) == PIECES


def test_the_statement_may_be_left_out() -> None:
    """The short form of the specification means an approval."""
    assert decode_evidence([{"signature": "x", "user": "carol"}]) == (
        DetachedPiece(signature="x", user="carol"),
    )


def test_digests_name_pieces() -> None:
    """Different pieces, different names; the same piece, the same name."""
    assert len({evidence.piece_digest(piece) for piece in PIECES}) == len(PIECES)
    assert evidence.piece_digest(PIECES[0]) == evidence.piece_digest(
        decode_evidence(encode_evidence(PIECES))[0]
    )


@pytest.mark.parametrize(
    "items",
    [
        {},
        ["text"],
        [{}],
        [{"object": "!!!!"}],
        [{"object": "YQ"}],
        [{"object": "YR=="}],
        [{"object": 1}],
        [{"object": "YQ==", "kind": "commit"}],
        [{"object": "YQ==", "trees": "YQ=="}],
        [{"object": "YQ==", "parents": [{"trees": []}]}],
        [{"signature": "x"}],
        [{"signature": "x", "user": "u" * 65}],
        [{"signature": 1, "user": "carol"}],
        [{"signature": "x", "user": "carol", "statement": "withdrawal"}],
        [{"signature": "x", "user": "carol", "object": "YQ=="}],
    ],
)
def test_other_shapes_are_malformed(items: Any) -> None:
    """Exact members, canonical base64."""
    with pytest.raises(EvidenceError) as caught:
        decode_evidence(items)
    assert caught.value.reason is Reason.MALFORMED_OBJECT


@pytest.mark.parametrize(
    "items",
    [
        [{"object": "YQ=="}] * (limits.MAX_PIECES + 1),
        [{"object": b64(b"x" * (limits.MAX_OBJECT_BYTES + 1))}],
        [{"object": "YQ==", "trees": [b64(b"x" * (limits.MAX_TREE_BYTES + 1))]}],
        [{"object": "YQ==", "trees": [b64(b"x" * limits.MAX_TREE_BYTES)] * 2 + ["YQ=="]}],
        [{"signature": "x" * (limits.MAX_ARMOR_CHARS + 1), "user": "carol"}],
    ],
    ids=["pieces", "object", "tree", "total", "armor"],
)
def test_every_bound_is_too_large(items: Any) -> None:
    """One more than allowed is too-large, whatever is inside."""
    with pytest.raises(EvidenceError) as caught:
        decode_evidence(items)
    assert caught.value.reason is Reason.TOO_LARGE


def test_bounds_hold_for_pieces_made_in_process() -> None:
    """The decision checks the same bounds: no caller can go round the wire."""
    with pytest.raises(EvidenceError):
        evidence.check_bounds([ObjectPiece(object=b"", trees=(b"",) * (limits.MAX_DEPTH + 1))])
    with pytest.raises(EvidenceError):
        evidence.check_bounds(
            [ObjectPiece(object=b"", parents=(ParentProof(object=b""),) * (limits.MAX_PARENTS + 1))]
        )
    with pytest.raises(EvidenceError):
        evidence.check_bounds([DetachedPiece(signature="", user="x")] * (limits.MAX_PIECES + 1))
