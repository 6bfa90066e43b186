"""One piece of evidence against a ballot: approvals.md section 2."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conformance import gitsmith, scenario
from conformance.scenario import PATH, Stage
from marbleops.approval.decide import decide
from marbleops.approval.evidence import DetachedPiece, ObjectPiece, ParentProof, Piece
from marbleops.approval.reasons import Reason
from marbleops.approval.statement import approval_line, key_proof_line
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from marbleops.approval.decision import PieceVerdict

STAGE = scenario.stage()
TREE_STAGE = scenario.stage(Binding="tree")


def candidate(stage: Stage) -> bytes:
    document = stage.next()
    document["Marbles"]["backend"]["Parameters"]["Env"]["MODE"] = "fast"
    return scenario.raw(document)


RAW = candidate(STAGE)
TREE_RAW = candidate(TREE_STAGE)


def verdict(piece: Piece, *, stage: Stage = STAGE, raw: bytes = RAW) -> PieceVerdict:
    (found,) = decide(enforced=stage.enforced, raw=raw, evidence=[piece]).pieces
    assert found.counted is (found.reason is None)
    return found


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (scenario.approve(RAW, "alice"), "tag"),
        (scenario.approve_commit(RAW, "alice"), "commit"),
        (scenario.approve_detached(RAW, "alice", version=2), "detached"),
    ],
)
def test_all_kinds_of_statement_count(piece: Piece, kind: str) -> None:
    """Tag, commit and detached statement: the kind is derived from the object."""
    found = verdict(piece)
    assert (found.kind, found.use, found.user) == (kind, "approval", "alice")
    assert found.fingerprint == gitsmith.key("alice").fingerprint


def line(name: str) -> str:
    return approval_line(Digest.of(RAW), name)


REFUSED: dict[str, tuple[Callable[[], Piece], Reason]] = {
    "junk": (lambda: ObjectPiece(object=b"junk"), Reason.MALFORMED_OBJECT),
    "unsigned": (
        lambda: ObjectPiece(object=gitsmith.make_tag("1" * 40, "t", "alice", line("alice"))),
        Reason.MALFORMED_SIGNATURE,
    ),
    "broken armor": (
        lambda: DetachedPiece(
            signature="-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", user="alice"
        ),
        Reason.MALFORMED_SIGNATURE,
    ),
    "stranger": (lambda: scenario.approve(RAW, "mallory"), Reason.UNKNOWN_KEY),
    "detached stranger": (lambda: scenario.approve_detached(RAW, "mallory", version=2), Reason.UNKNOWN_KEY),
    "altered": (
        lambda: ObjectPiece(
            object=scenario.approve(RAW, "alice").object.replace(b"approve\n", b"Approve\n", 1)
        ),
        Reason.BAD_SIGNATURE,
    ),
    "namespace": (
        lambda: DetachedPiece(signature=gitsmith.key("alice").sign(b"x", "git"), user="alice"),
        Reason.WRONG_NAMESPACE,
    ),
    "no statement": (lambda: scenario.tag("looks good\n", gitsmith.key("alice")), Reason.TRAILER_MISSING),
    "line not last": (
        lambda: scenario.tag(f"x\n\n{line('alice')}\n\nend\n", gitsmith.key("alice")),
        Reason.TRAILER_MISSING,
    ),
    "two lines": (
        lambda: scenario.tag(f"x\n\n{line('alice')}\n{line('bob')}\n", gitsmith.key("alice")),
        Reason.TRAILER_AMBIGUOUS,
    ),
    "for somebody else": (
        lambda: scenario.tag(f"x\n\n{line('bob')}\n", gitsmith.key("alice")),
        Reason.TRAILER_WRONG_SIGNER,
    ),
    "detached for somebody else": (
        lambda: DetachedPiece(
            signature=scenario.approve_detached(RAW, "alice", version=2).signature, user="bob"
        ),
        Reason.TRAILER_WRONG_SIGNER,
    ),
    "other manifest": (lambda: scenario.approve(b"{}", "alice"), Reason.TRAILER_WRONG_DIGEST),
    "detached other version": (
        lambda: scenario.approve_detached(RAW, "alice", version=3),
        Reason.BAD_SIGNATURE,
    ),
    "detached other lineage": (
        lambda: scenario.approve_detached(RAW, "alice", version=2, lineage="else"),
        Reason.BAD_SIGNATURE,
    ),
    "withdrawal": (
        lambda: scenario.tag(
            f"x\n\nWithdraw-Manifest: {Digest.of(RAW)} lineage shop-prod version 2 by alice\n",
            gitsmith.key("alice"),
        ),
        Reason.UNSUPPORTED_STATEMENT,
    ),
    "revocation": (
        lambda: scenario.tag(
            f"x\n\nRevoke-Key: {gitsmith.key('alice').fingerprint} lineage shop-prod by alice\n",
            gitsmith.key("alice"),
        ),
        Reason.UNSUPPORTED_STATEMENT,
    ),
    "openpgp": (
        lambda: DetachedPiece(
            signature="-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n", user="alice"
        ),
        Reason.UNSUPPORTED_KEY_TYPE,
    ),
    "bumper": (lambda: scenario.approve(RAW, "dave"), Reason.NOT_PERMITTED),
    "plain commit": (
        lambda: scenario.tree_vote(RAW, "alice", parents=(STAGE.raw,)),
        Reason.BINDING_NOT_ALLOWED,
    ),
    "needless proof": (lambda: scenario.prove("alice"), Reason.DUPLICATE_USER),
    "proof in a commit": (
        lambda: ObjectPiece(
            object=gitsmith.make_commit(
                scenario.NO_TREE,
                (),
                "alice",
                "x\n\n"
                + key_proof_line(
                    fingerprint=gitsmith.key("alice").fingerprint, lineage="shop-prod", user="alice"
                )
                + "\n",
                gitsmith.key("alice"),
            )
        ),
        Reason.TRAILER_MISSING,
    ),
    "proof of another key": (
        lambda: scenario.tag(
            "x\n\n"
            + key_proof_line(fingerprint=gitsmith.key("bob").fingerprint, lineage="shop-prod", user="alice")
            + "\n",
            gitsmith.key("alice"),
        ),
        Reason.TRAILER_WRONG_SIGNER,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each of these has its own reason and is no vote."""
    make, reason = REFUSED[name]
    assert verdict(make()).reason is reason


def test_a_revoked_key_counts_nowhere() -> None:
    """Not as a vote, whatever the manifest lists."""
    stage = replace(STAGE, revoked=frozenset({gitsmith.key("carol").fingerprint}))
    assert verdict(scenario.approve(RAW, "carol"), stage=stage).reason is Reason.KEY_REVOKED


def test_a_withdrawn_approval_does_not_count() -> None:
    """The enclave remembers who took it back, whichever way the approval comes."""
    stage = replace(STAGE, withdrawn={Digest.of(RAW): frozenset({"alice"})})
    assert verdict(scenario.approve(RAW, "alice"), stage=stage).reason is Reason.WITHDRAWN
    assert verdict(scenario.approve(RAW, "bob"), stage=stage).counted


def test_user_presence() -> None:
    """Under RequireUserPresence a plain key does not vote, and a security key only with a touch."""
    document = scenario.base()
    document["GitOps"]["RequireUserPresence"] = True
    for name in ("alice", "bob", "carol"):
        keys = (gitsmith.key(name, "sk-ed25519"), gitsmith.key(name))
        document["Users"][name] = scenario.user(name, "updater", keys=keys)
    stage = Stage(document=document)
    raw = candidate(stage)
    touched, untouched = gitsmith.key("alice", "sk-ed25519"), gitsmith.key("alice", "sk-ed25519", flags=0)
    assert verdict(scenario.approve(raw, "alice", key=touched), stage=stage, raw=raw).counted
    for key in (untouched, gitsmith.key("alice")):
        found = verdict(scenario.approve(raw, "alice", key=key), stage=stage, raw=raw)
        assert found.reason is Reason.USER_PRESENCE_MISSING


def tree_verdict(piece: Piece) -> PieceVerdict:
    return verdict(piece, stage=TREE_STAGE, raw=TREE_RAW)


def test_a_tree_vote_counts() -> None:
    """The author's plain signed commit whose own diff is the change."""
    found = tree_verdict(scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw,)))
    assert (found.kind, found.use, found.user) == ("tree-vote", "approval", "alice")
    merge = tree_verdict(scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw, TREE_STAGE.raw)))
    assert merge.counted


def without_parents(piece: ObjectPiece) -> ObjectPiece:
    return replace(piece, parents=())


def executable() -> ObjectPiece:
    leaf = gitsmith.make_tree([("100755", "manifest.json", gitsmith.blob_id(TREE_RAW))])
    prod = gitsmith.make_tree([("40000", "prod", gitsmith.object_id("tree", leaf))])
    root = gitsmith.make_tree([("40000", "envs", gitsmith.object_id("tree", prod))])
    commit = gitsmith.make_commit(gitsmith.object_id("tree", root), (), "alice", "x\n", gitsmith.key("alice"))
    return ObjectPiece(object=commit, trees=(root, prod, leaf))


VOTE = scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw,))
TREE_REFUSED: dict[str, tuple[ObjectPiece, Reason]] = {
    "stranger": (scenario.tree_vote(TREE_RAW, "mallory", parents=(TREE_STAGE.raw,)), Reason.UNKNOWN_KEY),
    "other content": (scenario.tree_vote(b"{}", "alice", parents=(TREE_STAGE.raw,)), Reason.CONTENT_MISMATCH),
    "other path": (
        scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw,), path="other.json"),
        Reason.PATH_NOT_IN_TREE,
    ),
    "trees withheld": (replace(VOTE, trees=()), Reason.PATH_NOT_IN_TREE),
    "executable": (executable(), Reason.WRONG_MODE),
    "no parent": (scenario.tree_vote(TREE_RAW, "alice", parents=()), Reason.NOT_INTRODUCED),
    "planted before": (scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_RAW,)), Reason.NOT_INTRODUCED),
    "one parent planted": (
        scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw, TREE_RAW)),
        Reason.NOT_INTRODUCED,
    ),
    "parent withheld": (without_parents(VOTE), Reason.NOT_INTRODUCED),
    "parent without trees": (
        replace(VOTE, parents=(ParentProof(object=VOTE.parents[0].object),)),
        Reason.NOT_INTRODUCED,
    ),
    "nine parents": (
        ObjectPiece(
            object=gitsmith.make_commit(
                gitsmith.make_path(PATH, TREE_RAW)[0],
                [str(n) * 40 for n in range(9)],
                "alice",
                "x\n",
                gitsmith.key("alice"),
            ),
            trees=gitsmith.make_path(PATH, TREE_RAW)[1],
        ),
        Reason.NOT_INTRODUCED,
    ),
    "rebased": (
        scenario.tree_vote(TREE_RAW, "alice", parents=(TREE_STAGE.raw,), committer="bob"),
        Reason.AUTHOR_DIFFERS,
    ),
    "with a foreign statement": (
        scenario.tree_vote(
            TREE_RAW,
            "alice",
            parents=(TREE_STAGE.raw,),
            message=f"squash\n\n{approval_line(Digest.of(TREE_RAW), 'bob')}\n",
        ),
        Reason.TRAILER_WRONG_SIGNER,
    ),
    "with a broken statement": (
        scenario.tree_vote(
            TREE_RAW, "alice", parents=(TREE_STAGE.raw,), message="approve-manifest: yes\n\nand more\n"
        ),
        Reason.TRAILER_MISSING,
    ),
}


@pytest.mark.parametrize("name", TREE_REFUSED)
def test_refused_tree_votes(name: str) -> None:
    """Every rule of the tree vote stops what it was made for."""
    piece, reason = TREE_REFUSED[name]
    assert tree_verdict(piece).reason is reason
