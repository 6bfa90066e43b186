"""The first manifest: approvals.md section 3, *Genesis*."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance import gitsmith, scenario
from marbleops.approval.decide import decide
from marbleops.approval.decision import ChangeClass, Decision, Outcome
from marbleops.approval.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.scenario import Document
    from marbleops.approval.evidence import Piece

EVERYBODY = ("alice", "bob", "carol", "dave")


def genesis(document: Document, evidence: Sequence[Piece] | None = None) -> Decision:
    raw = scenario.raw(document)
    if evidence is None:
        evidence = scenario.genesis_evidence(raw, ("alice", "bob"), EVERYBODY)
    return decide(enforced=None, raw=raw, evidence=evidence)


def reasons(decision: Decision) -> set[Reason]:
    return {refusal.reason for refusal in decision.refusals}


def test_genesis_is_applied_with_all_proofs_and_enough_approvals() -> None:
    """Two of three approve, all four keys are proven: floors start at what is listed."""
    decision = genesis(scenario.base())
    assert decision.outcome is Outcome.WOULD_APPLY
    assert decision.change_class is ChangeClass.GENESIS
    assert [counted.user for counted in decision.approvals] == ["alice", "bob"]
    assert {counted.user for counted in decision.key_proofs} == set(EVERYBODY)
    assert decision.summary == "2 of 2: alice, bob"
    assert decision.floors is not None
    assert decision.floors.names == {"backend": 5, "frontend": 3}


def test_an_approval_by_a_key_proves_it() -> None:
    """Any statement by a key that names its user is a proof of that key."""
    document = scenario.base()
    raw = scenario.raw(document)
    evidence = scenario.genesis_evidence(raw, ("alice", "bob"), ("carol", "dave"))
    assert genesis(document, evidence).outcome is Outcome.WOULD_APPLY


def test_detached_approvals_and_proofs_count() -> None:
    """Statements made without any Git are enough."""
    document = scenario.base()
    raw = scenario.raw(document)
    evidence: list[Piece] = [scenario.approve_detached(raw, name, version=1) for name in ("alice", "bob")]
    evidence += [scenario.prove_detached(name) for name in ("carol", "dave")]
    assert genesis(document, evidence).outcome is Outcome.WOULD_APPLY


def test_every_listed_key_is_proven() -> None:
    """A key of dave that nobody showed to have refuses the manifest and says where it stands."""
    document = scenario.base()
    raw = scenario.raw(document)
    decision = genesis(document, scenario.genesis_evidence(raw, ("alice", "bob"), ("carol",)))
    assert reasons(decision) == {Reason.NEW_KEY_UNPROVEN}
    assert decision.refusals[0].path == "Users.dave.SigningKeys[0]"
    assert decision.refusals[0].line is not None
    assert "missing dave" in decision.summary


def test_a_second_key_of_an_approver_is_proven_by_a_second_approval() -> None:
    """Two approvals by one person are one vote, but each still proves its key."""
    second = gitsmith.key("alice-2")
    document = scenario.base()
    document["Users"]["alice"] = scenario.user("alice", "updater", keys=(gitsmith.key("alice"), second))
    raw = scenario.raw(document)
    evidence = scenario.genesis_evidence(raw, ("alice", "bob"), ("carol", "dave"))
    evidence.append(scenario.approve(raw, "alice", key=second))
    decision = genesis(document, evidence)
    assert decision.outcome is Outcome.WOULD_APPLY
    assert len(decision.approvals) == 2
    assert second.fingerprint in {counted.fingerprint for counted in decision.key_proofs}


def test_too_few_approvals() -> None:
    """The candidate's own threshold decides."""
    document = scenario.base()
    raw = scenario.raw(document)
    decision = genesis(document, scenario.genesis_evidence(raw, ("alice",), EVERYBODY))
    assert reasons(decision) == {Reason.THRESHOLD_NOT_MET}
    assert decision.summary == "1 of 2, missing one of bob, carol"


def test_a_quorum_is_seated_at_genesis_too() -> None:
    """Two approvals are enough people but not the right ones."""
    document = scenario.base()
    document["Users"]["carol"]["Roles"].append("security")
    document["GitOps"]["Quorum"] = {"security": 1}
    decision = genesis(document)
    assert reasons(decision) == {Reason.QUORUM_NOT_MET}
    assert decision.summary == "quorum security: 0 of 1, missing carol"


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("Version", 2, Reason.VERSION_NOT_NEXT),
        ("Previous", "sha256:" + "0" * 64, Reason.PREVIOUS_MISMATCH),
        ("Deployment", "sha256:" + "0" * 64, Reason.DEPLOYMENT_MISMATCH),
        ("AllowSecurityVersionDecrease", ["backend"], Reason.SECURITY_VERSION_DECREASES),
    ],
)
def test_a_first_manifest_follows_nothing(member: str, value: object, reason: Reason) -> None:
    """Version 1, no Previous, no Deployment, nothing to decrease."""
    document = scenario.base()
    document["GitOps"][member] = value
    decision = genesis(document)
    assert reason in reasons(decision)
    assert {piece.reason for piece in decision.pieces} == {Reason.NOT_EVALUATED}


def test_a_manifest_without_the_section_is_not_for_this_call() -> None:
    """A MarbleRun manifest goes the MarbleRun way."""
    document = scenario.base()
    del document["GitOps"]
    for user in document["Users"].values():
        del user["SigningKeys"]
    assert reasons(genesis(document)) == {Reason.GITOPS_NOT_ENABLED}


def test_no_tree_vote_at_genesis() -> None:
    """There is no enforced manifest that a parent could hold."""
    document = scenario.base()
    document["GitOps"]["Binding"] = "tree"
    raw = scenario.raw(document)
    evidence = scenario.genesis_evidence(raw, ("alice",), EVERYBODY)
    evidence.append(scenario.tree_vote(raw, "bob", parents=(b"{}",)))
    decision = genesis(document, evidence)
    assert decision.pieces[-1].reason is Reason.BINDING_NOT_ALLOWED
    assert reasons(decision) == {Reason.THRESHOLD_NOT_MET}


def test_a_proof_for_another_lineage_proves_nothing() -> None:
    """Key proofs name the lineage and cannot be carried over."""
    document = scenario.base()
    raw = scenario.raw(document)
    evidence = scenario.genesis_evidence(raw, ("alice", "bob"), ("carol",))
    evidence.append(scenario.prove("dave", lineage="other"))
    decision = genesis(document, evidence)
    assert decision.pieces[-1].reason is Reason.LINEAGE_MISMATCH
    assert reasons(decision) == {Reason.NEW_KEY_UNPROVEN}


def test_a_plain_key_under_user_presence_proves_but_does_not_vote() -> None:
    """A statement by a key that may not vote is still a proof that somebody has it."""
    document = scenario.base()
    document["GitOps"]["RequireUserPresence"] = True
    for name in ("alice", "bob", "carol"):
        keys = (gitsmith.key(name, "sk-ed25519"), gitsmith.key(name))
        document["Users"][name] = scenario.user(name, "updater", keys=keys)
    raw = scenario.raw(document)
    evidence: list[Piece] = [scenario.approve(raw, name) for name in ("alice", "bob", "carol")]
    evidence += [scenario.prove("dave")]
    evidence += [scenario.approve(raw, n, key=gitsmith.key(n, "sk-ed25519")) for n in ("alice", "bob")]
    evidence += [scenario.prove("carol", key=gitsmith.key("carol", "sk-ed25519"))]
    decision = genesis(document, evidence)
    assert decision.outcome is Outcome.WOULD_APPLY
    assert {piece.use for piece in decision.pieces[:3]} == {"key-proof"}
    assert len(decision.key_proofs) == 7
