"""Who may change who decides: approvals.md section 3, *Electorate*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import gitsmith, scenario
from conformance.scenario import Stage
from marbleops.approval.decide import decide
from marbleops.approval.decision import ChangeClass, Decision, Outcome
from marbleops.approval.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIVE = ("alice", "bob", "carol", "dan", "erin")


def team(*names: str, threshold: int = 2, **gitops: Any) -> Stage:
    document = scenario.base()
    document["Users"] = {name: scenario.user(name, "updater") for name in names}
    document["Config"]["UpdateThreshold"] = threshold
    document["GitOps"] |= gitops
    return Stage(document=document)


def attempt(
    stage: Stage,
    edit: Callable[[dict[str, Any]], object],
    signers: Iterable[str],
    *,
    proofs: Iterable[gitsmith.Key] = (),
    prover: str = "",
) -> Decision:
    document = stage.next()
    edit(document)
    raw = scenario.raw(document)
    evidence = [scenario.approve(raw, name) for name in signers]
    evidence += [scenario.prove(prover, key=key) for key in proofs]
    return decide(enforced=stage.enforced, raw=raw, evidence=evidence)


def reasons(decision: Decision) -> set[Reason]:
    return {refusal.reason for refusal in decision.refusals}


def remove(*names: str) -> Callable[[dict[str, Any]], object]:
    def edit(document: dict[str, Any]) -> None:
        for name in names:
            del document["Users"][name]

    return edit


def rekey(name: str, key: gitsmith.Key) -> Callable[[dict[str, Any]], object]:
    def edit(document: dict[str, Any]) -> None:
        document["Users"][name]["SigningKeys"] = [key.public_line()]

    return edit


def test_two_of_five_cannot_vote_the_others_out() -> None:
    """The threshold is enough for a full change, not for another electorate."""
    decision = attempt(team(*FIVE), remove("erin"), ("alice", "bob"))
    assert decision.change_class is ChangeClass.WEAKENING
    assert reasons(decision) == {Reason.WEAKENING_NOT_APPROVED}
    assert decision.weakens == ("Users.erin: erin is no longer an approver",)
    assert attempt(team(*FIVE), remove("erin"), ("alice", "bob", "carol")).outcome is Outcome.WOULD_APPLY


def test_removing_two_at_once_is_no_replacement() -> None:
    """Absence lowers a number in no other case: two of four cannot remove the other two."""
    stage = team("alice", "bob", "carol", "dan")
    assert reasons(attempt(stage, remove("carol", "dan"), ("alice", "bob"))) == {
        Reason.WEAKENING_NOT_APPROVED
    }


def test_one_lost_key_is_replaced_by_all_others() -> None:
    """N = 3, T = 2: W is 3 and would need the lost key; the other two replace it."""
    new = gitsmith.key("carol-2")
    stage = team("alice", "bob", "carol")
    decision = attempt(stage, rekey("carol", new), ("alice", "bob"), proofs=[new], prover="carol")
    assert decision.outcome is Outcome.WOULD_APPLY
    assert decision.requirements[0].words == "all approvers but carol"
    unproven = attempt(stage, rekey("carol", new), ("alice", "bob"))
    assert reasons(unproven) == {Reason.NEW_KEY_UNPROVEN}
    alone = attempt(stage, rekey("carol", new), ("alice",), proofs=[new], prover="carol")
    assert Reason.WEAKENING_NOT_APPROVED in reasons(alone)
    assert alone.summary == "1 of 2, missing bob"


def test_a_replacement_does_nothing_else() -> None:
    """One more edit, and the ordinary quorum is asked for."""
    new = gitsmith.key("carol-2")

    def edit(document: dict[str, Any]) -> None:
        rekey("carol", new)(document)
        document["Marbles"]["backend"]["Parameters"]["Argv"] = ["x"]

    decision = attempt(team("alice", "bob", "carol"), edit, ("alice", "bob"), proofs=[new], prover="carol")
    assert reasons(decision) == {Reason.WEAKENING_NOT_APPROVED}


def test_a_replacement_gives_nothing_more() -> None:
    """More keys or more roles for the replaced one is no replacement."""
    new = gitsmith.key("carol-2")

    def second_key(document: dict[str, Any]) -> None:
        document["Users"]["carol"]["SigningKeys"].append(new.public_line())

    def more_roles(document: dict[str, Any]) -> None:
        rekey("carol", new)(document)
        document["Users"]["carol"]["Roles"].append("release")

    for edit in (second_key, more_roles):
        decision = attempt(
            team("alice", "bob", "carol"), edit, ("alice", "bob"), proofs=[new], prover="carol"
        )
        assert reasons(decision) == {Reason.WEAKENING_NOT_APPROVED}


def test_a_successor_takes_exactly_the_roles() -> None:
    """X goes, one new user with X's roles comes."""
    stage = team("alice", "bob", "carol")

    def hand_over(*roles: str) -> Callable[[dict[str, Any]], object]:
        def edit(document: dict[str, Any]) -> None:
            del document["Users"]["carol"]
            document["Users"]["frank"] = scenario.user("frank", *roles)

        return edit

    key = gitsmith.key("frank")
    same = attempt(stage, hand_over("updater"), ("alice", "bob"), proofs=[key], prover="frank")
    assert same.outcome is Outcome.WOULD_APPLY
    more = attempt(stage, hand_over("updater", "release"), ("alice", "bob"), proofs=[key], prover="frank")
    assert reasons(more) == {Reason.WEAKENING_NOT_APPROVED}


def test_the_replaced_ones_seats_count_as_filled() -> None:
    """Otherwise a lost key with a quorum seat would lock the team out."""
    new = gitsmith.key("carol-2")
    document = team("alice", "bob", "carol", Quorum={"security": 1}).document
    document["Users"]["carol"]["Roles"].append("security")
    decision = attempt(
        Stage(document=document), rekey("carol", new), ("alice", "bob"), proofs=[new], prover="carol"
    )
    assert decision.outcome is Outcome.WOULD_APPLY


def test_with_n_equal_to_the_threshold_a_lost_key_is_final() -> None:
    """The other one alone is below UpdateThreshold."""
    new = gitsmith.key("bob-2")
    decision = attempt(team("alice", "bob"), rekey("bob", new), ("alice",), proofs=[new], prover="bob")
    assert decision.outcome is Outcome.REFUSED
    assert Reason.THRESHOLD_NOT_MET in reasons(decision)


def test_an_approval_by_a_new_key_is_a_proof_and_no_vote() -> None:
    """A vote is only ever by a key that the enforced manifest lists."""
    new = gitsmith.key("carol-2")
    stage = team("alice", "bob", "carol")
    document = stage.next()
    rekey("carol", new)(document)
    raw = scenario.raw(document)
    evidence = [
        scenario.approve(raw, "alice"),
        scenario.approve(raw, "bob"),
        scenario.approve(raw, "carol", key=new),
    ]
    decision = decide(enforced=stage.enforced, raw=raw, evidence=evidence)
    assert decision.pieces[2].use == "key-proof"
    assert [counted.user for counted in decision.approvals] == ["alice", "bob"]
    assert [counted.fingerprint for counted in decision.key_proofs] == [new.fingerprint]
    assert decision.outcome is Outcome.WOULD_APPLY


def test_a_key_that_moves_to_another_user_is_new_there() -> None:
    """Its old user may still vote with it once; the new one has to prove it."""
    stage = team("alice", "bob", "carol", "dan")

    def edit(document: dict[str, Any]) -> None:
        del document["Users"]["dan"]
        document["Users"]["frank"] = scenario.user("frank", "updater", keys=(gitsmith.key("dan"),))

    names = ("alice", "bob", "carol", "dan")
    assert reasons(attempt(stage, edit, names)) == {Reason.NEW_KEY_UNPROVEN}
    proven = attempt(stage, edit, names, proofs=[gitsmith.key("dan")], prover="frank")
    assert proven.outcome is Outcome.WOULD_APPLY


def test_adding_an_approver_needs_the_weakening_quorum_and_a_proof() -> None:
    """Stuffing the electorate is the same attack as emptying it."""
    stage = team(*FIVE)

    def edit(document: dict[str, Any]) -> None:
        document["Users"]["frank"] = scenario.user("frank", "updater")

    assert reasons(attempt(stage, edit, ("alice", "bob"))) == {
        Reason.WEAKENING_NOT_APPROVED,
        Reason.NEW_KEY_UNPROVEN,
    }
    met = attempt(stage, edit, ("alice", "bob", "carol"), proofs=[gitsmith.key("frank")], prover="frank")
    assert met.outcome is Outcome.WOULD_APPLY


def test_a_key_for_a_bumper_is_an_electorate_edit() -> None:
    """A holder of a right to bump who gets a key is a new voter for bumps."""
    document = scenario.base()
    document["Users"]["dave"]["SigningKeys"] = []
    new = gitsmith.key("dave")
    decision = attempt(
        Stage(document=document), rekey("dave", new), ("alice", "bob"), proofs=[new], prover="dave"
    )
    assert decision.change_class is ChangeClass.WEAKENING
    assert "Users.dave: dave, who may raise a SecurityVersion, gets a key" in decision.weakens


def test_a_revoked_key_is_taken_out_by_policy_only_and_never_comes_back() -> None:
    """Removing it changes no electorate; adding it anew is refused."""
    revoked = frozenset({gitsmith.key("carol").fingerprint})
    stage = Stage(document=team("alice", "bob", "carol").document, revoked=revoked)
    decision = attempt(stage, remove("carol"), ("alice", "bob"))
    assert (decision.outcome, decision.change_class) == (Outcome.WOULD_APPLY, ChangeClass.POLICY)
    without = Stage(document=team("alice", "bob").document, revoked=revoked)
    back = attempt(
        without,
        lambda document: document["Users"].update(carol=scenario.user("carol", "updater")),
        ("alice", "bob"),
    )
    assert Reason.KEY_REVOKED in reasons(back)
    assert {piece.reason for piece in back.pieces} == {Reason.NOT_EVALUATED}


def test_an_unsatisfiable_successor_is_refused_before_anybody_is_counted() -> None:
    """A policy that its own users cannot meet is never enforced."""
    decision = attempt(
        team("alice", "bob", "carol"),
        lambda document: document["GitOps"].update(WeakenThreshold=9),
        ("alice", "bob", "carol"),
    )
    assert reasons(decision) == {Reason.POLICY_UNSATISFIABLE}
