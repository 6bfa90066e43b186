"""Every flow of approvals.md section 5 that must reach its quorum, with real git and ssh-keygen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.outcome import Outcome

if TYPE_CHECKING:
    from tests.integration.reconciler.conftest import Desk

pytestmark = pytest.mark.integration

GREEN = {
    "backend": {"Package": "backend", "Parameters": {"Env": {"COLOR": "green"}}},
    "frontend": {"Package": "frontend", "Parameters": {}},
}
RED = GREEN | {"backend": {"Package": "backend", "Parameters": {"Env": {"COLOR": "red"}}}}


def test_genesis_by_direct_push(desk: Desk) -> None:
    """A first manifest with a key proof of everybody and two approvals is enforced."""
    raw = desk.genesis()
    assert desk.coordinator.version == 1
    status = desk.status()
    assert status["outcome"] == "Enforced"
    assert status["enforced"]["digest"] == str(desk.coordinator.state.manifest.digest)  # type: ignore[union-attr]
    assert desk.coordinator.submissions[0][0] == raw


def test_direct_push_of_two_commits(desk: Desk) -> None:
    """The author's trailer and a second person's empty commit with one reach the threshold."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.push()
    waiting = desk.reconcile()
    assert (waiting.outcome, waiting.reason) == (Outcome.WAITING, "threshold-not-met")
    status = desk.status()
    assert (status["have"], status["need"], status["missing"]) == (1, 2, ["bob", "carol"])
    desk.team.commit("I agree", by="bob", approve=raw, empty=True)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert desk.coordinator.version == 2


def test_merge_commit(desk: Desk) -> None:
    """A forge's merge, signed by nobody we know, hides the approvals behind its second parent."""
    genesis = desk.genesis()
    team = desk.team
    team.git("checkout", "-q", "-b", "feature")
    raw = desk.next(genesis, Marbles=GREEN)
    team.write(raw)
    team.commit("green", by="alice", approve=raw)
    team.commit("I agree", by="carol", approve=raw, empty=True)
    team.git("checkout", "-q", "main")
    team.git("-c", "user.name=forge", "merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
    team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_squash_with_tags(desk: Desk) -> None:
    """A squash loses all signatures; two signed tags are enough."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("squashed", by="alice", sign=False)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.REFUSED
    desk.team.tag(raw, by="alice", version=2)
    desk.team.tag(raw, by="bob", version=2)
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_detached_statement_beside_the_manifest(desk: Desk) -> None:
    """A signature made without Git, committed as ``<path>.sigs/<user>.sig``, counts."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.write(desk.team.detached(raw, by="bob", version=2), path="envs/prod/manifest.json.sigs/bob.sig")
    desk.team.commit("bob's signature came on a stick", by="alice", sign=False)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_two_versions_pushed_at_once(desk: Desk) -> None:
    """Both are applied, the older first, each with its own evidence."""
    second = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(second)
    desk.team.commit("green", by="alice", approve=second)
    desk.team.commit("I agree", by="bob", approve=second, empty=True)
    third = desk.next(second, Marbles=RED)
    desk.team.write(third)
    desk.team.commit("red", by="bob", approve=third)
    desk.team.commit("I agree", by="carol", approve=third, empty=True)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert desk.coordinator.applied == [1, 2, 3]


def squashed_away(desk: Desk) -> bytes:
    """Approve on a request's head, then put an unsigned squash on the branch; return the manifest."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    team = desk.team
    team.git("checkout", "-q", "-b", "feature")
    team.write(raw)
    team.commit("green", by="alice", approve=raw)
    team.commit("I agree", by="carol", approve=raw, empty=True)
    team.git("push", "-q", "origin", "HEAD:refs/pull/7/head")
    team.git("checkout", "-q", "main")
    team.write(raw)
    team.commit("squashed by the forge", by="alice", sign=False)
    team.push()
    return raw


def test_squash_with_the_request_still_there(desk: Desk) -> None:
    """Where requests are enabled, the approvals on the head of one count for the squashed bytes."""
    squashed_away(desk)
    assert desk.reconcile().outcome is Outcome.REFUSED
    desk.target = replace(desk.target, repository=replace(desk.target.repository, proposals=True))
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_a_request_with_other_bytes_approves_nothing(desk: Desk) -> None:
    """Approvals of a request count for the very bytes they name, whatever its ref is called."""
    raw = squashed_away(desk)
    desk.target = replace(desk.target, repository=replace(desk.target.repository, proposals=True))
    desk.team.write(raw.replace(b"green", b"grain"))
    desk.team.commit("the host's own idea", by="alice", sign=False)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.REFUSED
    assert desk.coordinator.version == 1


def test_approvals_under_their_own_refs(desk: Desk) -> None:
    """A signed tag object that only ``refs/approvals/`` holds is found."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.push()
    desk.team.tag(raw, by="bob", version=2, push=False)
    name = desk.team.git("tag", "--list", "approve/*/2/bob").strip()
    desk.team.git("push", "-q", "origin", f"refs/tags/{name}:refs/approvals/bob")
    assert desk.reconcile().outcome is Outcome.ENFORCED
