"""What the reconciler does when the Coordinator is away, another one, or not what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.main import accept
from reconciler.outcome import Outcome
from reconciler.settings import SettingsError
from tests.fakes.coordinator import FakeCoordinator
from tests.integration.reconciler.test_flows import GREEN

if TYPE_CHECKING:
    from tests.integration.reconciler.conftest import Desk

pytestmark = pytest.mark.integration


def test_down_and_back(desk: Desk) -> None:
    """An unreachable Coordinator is retried; a push meanwhile is applied afterwards."""
    genesis = desk.genesis()
    desk.coordinator.down = True
    raw = desk.next(genesis, Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.RETRYING, "CoordinatorUnavailable")
    types = {row["type"]: row["reason"] for row in desk.status()["conditions"]}
    assert types["Reconciling"] == "ProgressingWithRetry"
    desk.coordinator.down = False
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_lost_answer_is_repeated_without_harm(desk: Desk) -> None:
    """The Coordinator commits and the answer is lost: the next run finds it enforced and sends nothing."""
    genesis = desk.genesis()
    raw = desk.next(genesis, Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()

    def lose() -> None:
        raise OSError("the reconciler dies here")

    desk.coordinator.after_commit = lose
    with pytest.raises(OSError, match="dies"):
        desk.reconcile()
    desk.coordinator.after_commit = None
    sent = len(desk.coordinator.submissions)
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert len(desk.coordinator.submissions) == sent
    assert desk.coordinator.applied == [1, 2]


def test_another_reconciler_is_faster(desk: Desk) -> None:
    """Two race with the same version: it is applied once, and both end with it enforced."""
    genesis = desk.genesis()
    raw = desk.next(genesis, Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()

    def other() -> None:
        desk.coordinator.before_submit = None
        desk.reconcile()

    desk.coordinator.before_submit = other
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert desk.coordinator.applied == [1, 2]


def test_other_root_is_stalled_until_accepted(desk: Desk) -> None:
    """A second Coordinator never gets the first manifest, until a person says so."""
    desk.genesis()
    known = desk.coordinator.root
    desk.coordinator = FakeCoordinator(seed=b"another")
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.STALLED, "CoordinatorChanged")
    assert desk.coordinator.submissions == []
    assert desk.status()["enforced"]["root"] == known
    assert {row["type"] for row in desk.status()["conditions"]} >= {"Stalled", "Drifted"}
    config = desk.folder / "reconciler.json"
    assert accept(config, "prod") == desk.coordinator.root
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert desk.status()["enforced"]["root"] == desk.coordinator.root
    with pytest.raises(SettingsError, match="no changed Coordinator"):
        accept(config, "prod")


def test_same_root_that_forgot_everything(desk: Desk) -> None:
    """A Coordinator that waits for a manifest where one was enforced is another one as far as we know."""
    desk.genesis()
    desk.coordinator = FakeCoordinator()
    report = desk.reconcile()
    assert report.reason == "CoordinatorChanged"
    assert desk.coordinator.submissions == []


def test_older_state_put_back(desk: Desk) -> None:
    """A version below the one we saw enforced is noticed, and not silently repaired."""
    genesis = desk.genesis()
    before = desk.coordinator.state
    raw = desk.next(genesis, Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    desk.coordinator.state = before
    assert desk.reconcile().reason == "CoordinatorChanged"
    assert desk.coordinator.version == 1


def test_recovery_and_untrusted(desk: Desk) -> None:
    """A Coordinator in recovery, or without a good quote, is stalled and gets nothing."""
    desk.genesis()
    desk.coordinator.recovering = True
    assert desk.reconcile().reason == "CoordinatorChanged"
    desk.coordinator.recovering = False
    desk.coordinator.untrusted = True
    assert desk.reconcile().reason == "CoordinatorUntrusted"
    desk.coordinator.untrusted = False
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_acceptance_of_another_root_does_not_help(desk: Desk) -> None:
    """A person accepts the root they saw, not whichever answers next."""
    desk.genesis()
    desk.coordinator = FakeCoordinator(seed=b"seen")
    desk.reconcile()
    accept(desk.folder / "reconciler.json")
    desk.coordinator = FakeCoordinator(seed=b"a third one")
    assert desk.reconcile().reason == "CoordinatorChanged"
    assert desk.coordinator.submissions == []


def test_damaged_state_is_not_guessed(desk: Desk) -> None:
    """Without knowing what was enforced before, nothing is applied."""
    desk.genesis()
    (desk.target.folder / "state.json").write_bytes(b"\0")
    desk.coordinator = FakeCoordinator(seed=b"another")
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.STALLED, "InvalidState")
    assert desk.coordinator.submissions == []


def test_every_attestation_has_its_own_nonce(desk: Desk) -> None:
    """No quote is accepted twice."""
    desk.genesis()
    desk.reconcile()
    nonces = desk.coordinator.nonces
    assert len(set(nonces)) == len(nonces) >= 3
