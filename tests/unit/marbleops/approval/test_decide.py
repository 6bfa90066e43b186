"""The whole decision: standing, classes, counting, answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import scenario
from conformance.scenario import PRODUCT, SIGNER, Stage
from marbleops.approval.decide import decide
from marbleops.approval.decision import (
    ChangeClass,
    Decision,
    Outcome,
    PieceVerdict,
    applied,
    decision_from_json,
    decision_to_json,
)
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import ObjectPiece, decode_evidence, piece_to_json
from marbleops.approval.jsonread import JsonShapeError
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from marbleops.approval.evidence import Piece

STAGE = scenario.stage()
ATTESTED = replace(STAGE, attested={("backend", SIGNER, PRODUCT): 7})
TREE = scenario.stage(Binding="tree")


def full(document: dict[str, Any]) -> None:
    document["Marbles"]["backend"]["Parameters"]["Env"]["MODE"] = "fast"


def bump(document: dict[str, Any]) -> None:
    document["Packages"]["backend"]["SecurityVersion"] = 7


def after(stage: Stage, edit: Callable[[dict[str, Any]], object] = full) -> bytes:
    document = stage.next()
    edit(document)
    return scenario.raw(document)


def ask(stage: Stage, raw: bytes, *evidence: Piece) -> Decision:
    return decide(enforced=stage.enforced, raw=raw, evidence=evidence)


def signed_by(stage: Stage, raw: bytes, *names: str) -> Decision:
    return ask(stage, raw, *(scenario.approve(raw, name) for name in names))


def reasons(decision: Decision) -> set[Reason]:
    return {refusal.reason for refusal in decision.refusals}


def test_full_change_one_of_two_then_two() -> None:
    """The sentence that people read says who could still help."""
    raw = after(STAGE)
    one = signed_by(STAGE, raw, "alice")
    assert (one.outcome, one.change_class, one.summary) == (
        Outcome.REFUSED,
        ChangeClass.FULL,
        "1 of 2, missing one of bob, carol",
    )
    assert reasons(one) == {Reason.THRESHOLD_NOT_MET}
    two = signed_by(STAGE, raw, "alice", "carol")
    assert (two.outcome, two.version, two.digest) == (Outcome.WOULD_APPLY, 2, Digest.of(raw))
    assert applied(two).outcome is Outcome.APPLIED


def test_no_evidence_is_no_approval() -> None:
    """Nobody is not enough for any class."""
    for stage, edit in ((STAGE, full), (ATTESTED, bump)):
        assert ask(stage, after(stage, edit)).outcome is Outcome.REFUSED


def test_package_bump_by_one_releaser_or_by_the_approvers() -> None:
    """PackageThreshold users with the right, or everything that class full needs."""
    raw = after(ATTESTED, bump)
    dave = signed_by(ATTESTED, raw, "dave")
    assert (dave.outcome, dave.change_class, dave.summary) == (
        Outcome.WOULD_APPLY,
        ChangeClass.PACKAGE_BUMP,
        "1 of 1: dave",
    )
    assert dave.floors is not None
    assert dave.floors.names["backend"] == 7
    assert signed_by(ATTESTED, raw, "alice", "bob").outcome is Outcome.WOULD_APPLY
    alone = signed_by(ATTESTED, raw, "alice")
    assert reasons(alone) == {Reason.THRESHOLD_NOT_MET}
    assert alone.summary == "0 of 1, missing dave"


def test_every_raised_package_needs_its_own_releasers() -> None:
    """Dave may bump backend, which says nothing about frontend."""
    document = scenario.base()
    document["Roles"]["front"] = {
        "ResourceType": "Packages",
        "ResourceNames": ["frontend"],
        "Actions": ["UpdateSecurityVersion"],
    }
    document["Users"]["erin"] = scenario.user("erin", "front")
    stage = Stage(document=document, attested={("backend", SIGNER, PRODUCT): 7, ("frontend", SIGNER, 16): 9})

    def edit(new: dict[str, Any]) -> None:
        bump(new)
        new["Packages"]["frontend"]["SecurityVersion"] = 9

    raw = after(stage, edit)
    assert signed_by(stage, raw, "dave").outcome is Outcome.REFUSED
    assert signed_by(stage, raw, "dave", "erin").outcome is Outcome.WOULD_APPLY


def test_beyond_attested_is_class_full_and_says_so() -> None:
    """One key cannot raise the floor above what runs."""
    raw = after(STAGE, bump)
    decision = signed_by(STAGE, raw, "dave")
    assert decision.change_class is ChangeClass.FULL
    assert reasons(decision) == {Reason.THRESHOLD_NOT_MET, Reason.BEYOND_ATTESTED}
    assert decision.pieces[0].reason is Reason.NOT_PERMITTED
    assert signed_by(STAGE, raw, "alice", "bob").outcome is Outcome.WOULD_APPLY


def test_a_weakening_needs_its_quorum() -> None:
    """Two of three may change, three of three weaken."""

    def weaken(document: dict[str, Any]) -> None:
        document["Packages"]["backend"]["Debug"] = True

    raw = after(STAGE, weaken)
    two = signed_by(STAGE, raw, "alice", "bob")
    assert reasons(two) == {Reason.WEAKENING_NOT_APPROVED}
    assert two.weakens == ("Packages.backend: a debug enclave may run",)
    assert reasons(signed_by(STAGE, raw, "alice")) == {
        Reason.WEAKENING_NOT_APPROVED,
        Reason.THRESHOLD_NOT_MET,
    }
    assert signed_by(STAGE, raw, "alice", "bob", "carol").outcome is Outcome.WOULD_APPLY


def test_the_enforced_policy_decides_not_the_candidates() -> None:
    """A candidate that lowers the threshold is judged by the threshold it wants to lower."""

    def lower(document: dict[str, Any]) -> None:
        document["Config"]["UpdateThreshold"] = 1

    assert signed_by(STAGE, after(STAGE, lower), "alice").outcome is Outcome.REFUSED


def test_a_quorum_is_seated_by_different_people() -> None:
    """Alice holds both roles and still sits once."""
    document = scenario.base()
    document["Roles"]["audit"] = {"ResourceType": "Manifest", "Actions": []}
    document["Users"]["alice"]["Roles"] += ["security", "audit"]
    document["Users"]["bob"]["Roles"] += ["audit"]
    document["GitOps"]["Quorum"] = {"security": 1, "audit": 1}
    stage = Stage(document=document)
    raw = after(stage)
    without = signed_by(stage, raw, "alice", "carol")
    assert reasons(without) == {Reason.QUORUM_NOT_MET}
    assert signed_by(stage, raw, "alice", "bob").outcome is Outcome.WOULD_APPLY


def set_gitops(member: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["GitOps"].update({member: value})


@pytest.mark.parametrize(
    ("edit", "reason", "path"),
    [
        (set_gitops("Lineage", "other"), Reason.LINEAGE_MISMATCH, "GitOps.Lineage"),
        (set_gitops("Version", 3), Reason.VERSION_NOT_NEXT, "GitOps.Version"),
        (set_gitops("Version", 1), Reason.VERSION_NOT_NEXT, "GitOps.Version"),
        (set_gitops("Previous", "sha256:" + "0" * 64), Reason.PREVIOUS_MISMATCH, "GitOps.Previous"),
        (set_gitops("Deployment", "sha256:" + "0" * 64), Reason.DEPLOYMENT_MISMATCH, "GitOps.Deployment"),
        (
            lambda document: document["Packages"]["backend"].update(SecurityVersion=4),
            Reason.SECURITY_VERSION_DECREASES,
            "Packages.backend.SecurityVersion",
        ),
        (
            set_gitops("AllowSecurityVersionDecrease", ["backend"]),
            Reason.SECURITY_VERSION_DECREASES,
            "GitOps.AllowSecurityVersionDecrease",
        ),
        (set_gitops("WeakenThreshold", 4), Reason.POLICY_UNSATISFIABLE, "GitOps.WeakenThreshold"),
        (
            lambda document: document["Users"]["bob"].update(SigningKeys=["ssh-ed25519 AAAA"]),
            Reason.MANIFEST_INVALID,
            "Users.bob.SigningKeys[0]",
        ),
        (lambda document: document.update(Pakages={}), Reason.MANIFEST_MALFORMED, None),
        (
            lambda document: document["Marbles"]["backend"].update(Package="nothing"),
            Reason.MANIFEST_INVALID,
            "Marbles.backend.Package",
        ),
        (
            lambda document: document["Marbles"]["backend"]["Parameters"]["Env"].update(
                X="{{ hex .Secrets.no }}"
            ),
            Reason.MANIFEST_INVALID,
            None,
        ),
    ],
)
def test_cheap_refusals_come_first_and_have_a_place(
    edit: Callable[[dict[str, Any]], object], reason: Reason, path: str | None
) -> None:
    """No signature is looked at for a manifest that cannot be."""
    decision = signed_by(STAGE, after(STAGE, edit), "alice", "bob", "carol")
    assert decision.outcome is Outcome.REFUSED
    assert reason in reasons(decision)
    assert {piece.reason for piece in decision.pieces} == {Reason.NOT_EVALUATED}
    found = next(refusal for refusal in decision.refusals if refusal.reason is reason)
    assert found.line is not None
    assert path is None or found.path == path
    assert decision.summary.startswith(str(decision.refusals[0].reason))


def test_everything_cheap_is_said_at_once() -> None:
    """Lineage, version and a floor: three refusals in one answer."""

    def edit(document: dict[str, Any]) -> None:
        document["GitOps"] |= {"Lineage": "x", "Version": 9}
        document["Packages"]["backend"]["SecurityVersion"] = 1

    assert reasons(signed_by(STAGE, after(STAGE, edit))) == {
        Reason.LINEAGE_MISMATCH,
        Reason.VERSION_NOT_NEXT,
        Reason.SECURITY_VERSION_DECREASES,
    }


@pytest.mark.parametrize("member", ["Previous", "Deployment"])
def test_previous_and_deployment_are_required(member: str) -> None:
    """Leaving one out is a mismatch."""
    found = reasons(signed_by(STAGE, after(STAGE, lambda document: document["GitOps"].pop(member))))
    assert found == {Reason.PREVIOUS_MISMATCH if member == "Previous" else Reason.DEPLOYMENT_MISMATCH}


def test_dropping_the_section_is_a_lineage_mismatch() -> None:
    """Nobody leaves GitOps by an update."""

    def edit(document: dict[str, Any]) -> None:
        del document["GitOps"]
        for user in document["Users"].values():
            del user["SigningKeys"]

    assert reasons(signed_by(STAGE, after(STAGE, edit), "alice", "bob", "carol")) == {Reason.LINEAGE_MISMATCH}


def test_the_enforced_manifest_again_is_unchanged() -> None:
    """Idempotent by its bytes; junk beside it does not matter."""
    decision = ask(STAGE, STAGE.raw, ObjectPiece(object=b"junk"))
    assert (decision.outcome, decision.version) == (Outcome.UNCHANGED, 1)
    assert decision.pieces[0].reason is Reason.NOT_EVALUATED


def test_too_large() -> None:
    """A manifest above 1 MiB and evidence above its bounds are refused unread."""
    assert reasons(ask(STAGE, b" " * (2**20 + 1))) == {Reason.TOO_LARGE}
    assert reasons(ask(STAGE, after(STAGE), *(ObjectPiece(object=b"x"),) * 65)) == {Reason.TOO_LARGE}


def test_a_declared_decrease_needs_the_weakening_quorum_and_lowers_the_floor() -> None:
    """The one way down is loud."""

    def edit(document: dict[str, Any]) -> None:
        document["Packages"]["backend"]["SecurityVersion"] = 4
        document["GitOps"]["AllowSecurityVersionDecrease"] = ["backend"]

    raw = after(STAGE, edit)
    assert reasons(signed_by(STAGE, raw, "alice", "bob")) == {Reason.WEAKENING_NOT_APPROVED}
    decision = signed_by(STAGE, raw, "alice", "bob", "carol")
    assert decision.outcome is Outcome.WOULD_APPLY
    assert decision.floors is not None
    assert decision.floors.names["backend"] == 4


def test_one_person_many_pieces_one_vote() -> None:
    """Of all pieces of one person the one with the smallest payload counts, the rest are duplicates."""
    raw = after(STAGE)
    decision = ask(
        STAGE,
        raw,
        scenario.approve(raw, "alice"),
        scenario.approve(raw, "alice"),
        scenario.approve_commit(raw, "alice"),
        scenario.approve_detached(raw, "alice", version=2),
    )
    assert sorted(str(piece.reason) for piece in decision.pieces) == ["None"] + ["duplicate-user"] * 3
    (counted,) = decision.approvals
    digests = [piece.payload_digest.value for piece in decision.pieces if piece.payload_digest]
    assert counted.payload_digest.value == min(digests)


def test_all_tree_votes_together_are_one() -> None:
    """Two authors' plain commits are one vote; the other one names the digest."""
    raw = after(TREE)
    alice = scenario.tree_vote(raw, "alice", parents=(TREE.raw,))
    bob = scenario.tree_vote(raw, "bob", parents=(TREE.raw,))
    two = ask(TREE, raw, alice, bob)
    assert two.outcome is Outcome.REFUSED
    assert sorted(str(piece.reason) for piece in two.pieces) == ["None", "tree-vote-used"]
    assert ask(TREE, raw, alice, scenario.approve(raw, "bob")).outcome is Outcome.WOULD_APPLY


def test_a_digest_vote_beats_ones_own_tree_vote() -> None:
    """Alice's tag counts, so her commit leaves the one tree vote to bob."""
    raw = after(TREE)
    decision = ask(
        TREE,
        raw,
        scenario.tree_vote(raw, "alice", parents=(TREE.raw,)),
        scenario.tree_vote(raw, "bob", parents=(TREE.raw,)),
        scenario.approve(raw, "alice"),
    )
    assert decision.outcome is Outcome.WOULD_APPLY
    assert [piece.reason for piece in decision.pieces] == [Reason.DUPLICATE_USER, None, None]


@pytest.mark.parametrize("seat", ["alice", "carol"])
def test_the_tree_vote_that_helps_is_taken(seat: str) -> None:
    """Whoever fills the quorum is chosen, not whoever comes first."""
    document = scenario.base()
    document["GitOps"] |= {"Binding": "tree", "Quorum": {"security": 1}}
    document["Users"][seat]["Roles"].append("security")
    stage = Stage(document=document)
    raw = after(stage)
    votes = [scenario.tree_vote(raw, name, parents=(stage.raw,)) for name in ("alice", "carol")]
    decision = ask(stage, raw, *votes, scenario.approve(raw, "bob"))
    assert decision.outcome is Outcome.WOULD_APPLY
    assert {counted.user for counted in decision.approvals} == {"bob", seat}


def pool(raw: bytes) -> list[Piece]:
    return [
        scenario.approve(raw, "alice"),
        scenario.approve_commit(raw, "alice"),
        scenario.approve_detached(raw, "alice", version=2),
        scenario.approve(raw, "dave"),
        scenario.approve(b"{}", "bob"),
        scenario.tree_vote(raw, "bob", parents=(TREE.raw,)),
        scenario.tree_vote(raw, "carol", parents=(TREE.raw,)),
        scenario.tree_vote(raw, "alice", parents=(TREE.raw,)),
        scenario.prove("carol"),
        ObjectPiece(object=b"junk"),
    ]


TREE_RAW = after(TREE)
POOL = pool(TREE_RAW)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(POOL) - 1), max_size=8), st.randoms(use_true_random=False))
def test_order_and_junk_do_not_matter(picks: list[int], random: Any) -> None:
    """The same pieces in any order count the same people with the same verdicts; nobody means refused."""
    shuffled = picks[:]
    random.shuffle(shuffled)
    first = ask(TREE, TREE_RAW, *(POOL[pick] for pick in picks))
    second = ask(TREE, TREE_RAW, *(POOL[pick] for pick in shuffled))
    assert (first.outcome, first.approvals, first.summary) == (
        second.outcome,
        second.approvals,
        second.summary,
    )

    def verdicts(decision: Decision, order: list[int]) -> list[tuple[int, str]]:
        return sorted((order[piece.index], str(piece.reason)) for piece in decision.pieces)

    assert verdicts(first, picks) == verdicts(second, shuffled)
    people = {counted.user for counted in first.approvals}
    assert (first.outcome is Outcome.WOULD_APPLY) == (len(people) >= 2)
    junk = ask(TREE, TREE_RAW, *(POOL[pick] for pick in picks), ObjectPiece(object=b"more junk"))
    assert (junk.outcome, junk.approvals) == (first.outcome, first.approvals)


@pytest.mark.parametrize("field", ["signature", "user"])
def test_text_that_no_bytes_stand_for(field: str) -> None:
    """A lone surrogate in a piece is one refused piece, never an exception."""
    raw = after(STAGE)
    good = scenario.approve_detached(raw, "bob", version=2)
    broken = replace(good, signature="\ud800") if field == "signature" else replace(good, user="\ud800")
    decision = ask(STAGE, raw, broken)
    assert [piece.reason for piece in decision.pieces] == [Reason.MALFORMED_SIGNATURE]
    with pytest.raises(EvidenceError):
        decode_evidence([piece_to_json(broken)])


def test_names_are_no_formats() -> None:
    """A secret called like a directive of a format string is refused in words."""
    raw = after(STAGE, writer_of("100%d {0} %s"))
    decision = ask(STAGE, raw)
    assert reasons(decision) == {Reason.MANIFEST_INVALID}
    assert "100%d {0} %s" in decision.refusals[0].message


def writer_of(secret: str) -> Callable[[dict[str, Any]], object]:
    def edit(document: dict[str, Any]) -> None:
        document["Secrets"][secret] = {"Type": "symmetric-key", "Size": 128}
        document["Roles"]["w"] = {
            "ResourceType": "Secrets",
            "ResourceNames": [secret],
            "Actions": ["WriteSecret", "ReadSecret"],
        }

    return edit


def many_rights(document: dict[str, Any]) -> None:
    names = [f"p{number}" for number in range(300)]
    document["Packages"] |= {name: {} for name in names}
    document["Roles"]["big"] = {
        "ResourceType": "Packages",
        "ResourceNames": names,
        "Actions": ["UpdateSecurityVersion"],
    }
    document["Users"] |= {f"u{number}": {"Roles": ["big"]} for number in range(300)}


def many_keys(document: dict[str, Any]) -> None:
    document["Users"]["zed"] = {"SigningKeys": ["ssh-ed25519 AAAA"] * 2100}


@pytest.mark.parametrize("edit", [many_rights, many_keys])
def test_products_and_keys_are_bounded(edit: Callable[[dict[str, Any]], object]) -> None:
    """What a short manifest multiplies out to, and what costs a computation each, has a bound."""
    assert reasons(ask(STAGE, after(STAGE, edit))) == {Reason.TOO_LARGE}


def repeated_roles(document: dict[str, Any]) -> None:
    document["Roles"]["updater"]["Actions"] *= 2_000
    document["Users"]["alice"]["Roles"] *= 2_000


def repeated_tags(document: dict[str, Any]) -> None:
    document["TLS"] = {"web": {"Incoming": [{"Port": "1"}] * 2_000}}
    document["Marbles"]["frontend"]["TLS"] = ["web"] * 2_000


def long_list(document: dict[str, Any]) -> None:
    document["Packages"]["backend"]["AcceptedAdvisories"] = [f"a{number}" for number in range(2_000)]


@pytest.mark.parametrize("edit", [repeated_roles, repeated_tags, long_list])
def test_repetition_costs_nothing(edit: Callable[[dict[str, Any]], object]) -> None:
    """Each of these once multiplied two long lists; the products stay linear."""
    assert ask(STAGE, after(STAGE, edit)).outcome is Outcome.REFUSED


def test_long_names_fit_into_a_record() -> None:
    """What weakens stands in the history for ever, whose readers take texts of bounded length only."""
    name = "m" * 10_000

    def edit(document: dict[str, Any]) -> None:
        document["Secrets"][name] = {"Type": "plain", "UserDefined": True}

    stage = Stage(document=STAGE.next())
    edit(stage.document)
    stage.document["GitOps"] |= {"Version": 1}
    del stage.document["GitOps"]["Previous"]
    del stage.document["GitOps"]["Deployment"]
    raw = after(stage, lambda document: document["Secrets"][name].update(Shared=True))
    decision = signed_by(stage, raw, "alice", "bob", "carol")
    assert decision.outcome is Outcome.WOULD_APPLY
    assert all(len(words) < 1000 for words in decision.weakens)


def test_the_answer_survives_the_wire() -> None:
    """Clients read what the Coordinator wrote; manifest and floors stay inside."""
    for decision in (
        signed_by(STAGE, after(STAGE), "alice", "mallory"),
        signed_by(STAGE, after(STAGE), "alice", "bob"),
        ask(STAGE, STAGE.raw),
        signed_by(STAGE, after(STAGE, set_gitops("Lineage", "x")), "alice"),
    ):
        read = decision_from_json(json.loads(json.dumps(decision_to_json(decision))))
        expected = replace(
            decision,
            manifest=None,
            floors=None,
            approvals=read.approvals if decision.outcome is not Outcome.WOULD_APPLY else decision.approvals,
        )
        assert read == expected


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "perhaps"},
        {"outcome": "applied"},
        {"class": "small"},
        {"extra": 1},
        {"pieces": [{}]},
        {"refusals": []},
        {"digest": "sha256:0"},
    ],
)
def test_answers_are_read_strictly(change: dict[str, object]) -> None:
    """An answer that contradicts itself is no answer: applied with nobody, refused without a reason."""
    answer = decision_to_json(signed_by(STAGE, after(STAGE))) | change
    with pytest.raises(JsonShapeError):
        decision_from_json(answer)


def test_applied_is_unreachable_without_a_person() -> None:
    """The type itself refuses it."""
    proof = PieceVerdict(index=0, kind="tag", counted=True, use="key-proof", user="alice")
    for pieces in ((), (proof,)):
        with pytest.raises(AssertionError):
            Decision(outcome=Outcome.APPLIED, digest=Digest.of(b""), pieces=pieces)


def test_a_flood_of_mistakes_is_told_in_part() -> None:
    """Hundreds of bad keys or weakenings neither cost a scan each nor fill the history."""

    def keys(document: dict[str, Any]) -> None:
        document["Users"]["dave"]["SigningKeys"] = [f"ssh-ed25519 {number}" for number in range(300)]

    def marbles(document: dict[str, Any]) -> None:
        for number in range(150):
            document["Marbles"][f"m{number}"] = {"Package": "backend", "DisableSecretBinding": True}

    assert len(signed_by(STAGE, after(STAGE, keys)).refusals) == 20
    weakens = signed_by(STAGE, after(STAGE, marbles)).weakens
    assert (len(weakens), weakens[-1]) == (101, "and 50 more")
