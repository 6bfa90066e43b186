"""Approvals besides a plain push: merged tags, tree votes, a drop directory, signature files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from marbleops.approval.enforced import Enforced
from marbleops.approval.evidence import ObjectPiece
from reconciler.outcome import Outcome
from tests.integration.reconciler.test_flows import GREEN

if TYPE_CHECKING:
    from tests.integration.reconciler.conftest import Desk

pytestmark = pytest.mark.integration


def test_merged_tag_counts_without_its_ref(desk: Desk) -> None:
    """A signed tag that was merged lives on in the merge commit and is sent as the tag it was."""
    genesis = desk.genesis()
    team = desk.team
    team.git("checkout", "-q", "-b", "feature")
    raw = desk.next(genesis, Marbles=GREEN)
    team.write(raw)
    team.commit("green", by="alice", approve=raw)
    tag = team.tag(raw, by="bob", version=2, push=False)
    team.git("checkout", "-q", "main")
    team.git(*team.as_person("carol"), "merge", "-q", "--no-ff", "--no-edit", tag)
    team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    sent = [piece.object for piece in desk.coordinator.submissions[-1][1] if isinstance(piece, ObjectPiece)]
    assert any(raw_object.startswith(b"object ") for raw_object in sent)


def test_tree_vote_of_the_author(desk: Desk) -> None:
    """With ``Binding: tree`` the author's plain ``git commit -S`` is a vote; others name the digest."""
    genesis = desk.genesis(GitOps={"Binding": "tree"})
    raw = desk.next(genesis, Marbles=GREEN, GitOps={"Binding": "tree"})
    desk.team.write(raw)
    desk.team.commit("green", by="alice")
    desk.team.push()
    report = desk.reconcile()
    assert report.outcome is Outcome.WAITING, (report.reason, report.message)
    desk.team.tag(raw, by="carol", version=2)
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_drop_directory(desk: Desk) -> None:
    """An approval that came by another way than Git is picked up from the drop directory."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.push()
    drop = desk.folder / "approvals"
    desk.target = replace(desk.target, approvals=drop)
    assert desk.reconcile().outcome is Outcome.WAITING
    drop.mkdir()
    (drop / "carol.sig").write_bytes(desk.team.detached(raw, by="carol", version=2))
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_genesis_from_signature_files_alone(desk: Desk) -> None:
    """Key proofs and approvals may all be files beside the manifest."""
    team = desk.team
    raw = team.manifest()
    team.write(raw)
    for name in team.people:
        place = f"envs/prod/manifest.json.sigs/{name}"
        team.write(team.detached_proof(name), path=f"{place}.key-proof.sig")
        if name != "carol":
            team.write(team.detached(raw, by=name, version=1), path=f"{place}.sig")
    team.commit("genesis", by="alice", sign=False)
    team.push()
    report = desk.reconcile()
    assert report.outcome is Outcome.ENFORCED, (report.reason, report.message)


def test_package_bump_by_one_releaser(desk: Desk) -> None:
    """A bump up to what was attested needs one signature; beyond it, everybody a full change needs."""
    genesis = desk.genesis()
    document = json.loads(genesis)
    document["Packages"]["backend"]["SecurityVersion"] = 2
    raw = desk.next(genesis, Packages=document["Packages"])
    desk.team.write(raw)
    desk.team.commit("bump", by="carol", approve=raw)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.WAITING
    state = desk.coordinator.state
    assert state is not None
    attested = {("backend", "ab" * 32, 15): 2}
    desk.coordinator.state = Enforced(
        manifest=state.manifest, deployment=state.deployment, floors=state.floors, attested=attested
    )
    report = desk.reconcile()
    assert report.outcome is Outcome.ENFORCED
    assert report.decision is not None
    assert report.decision.change_class == "package-bump"


def test_unchanged_tip_sends_nothing(desk: Desk) -> None:
    """A commit elsewhere in the repository is no reason to call."""
    desk.genesis()
    desk.team.write(b"text\n", path="README.md")
    commit = desk.team.commit("readme", by="alice", sign=False)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    assert len(desk.coordinator.submissions) == 1
    assert desk.status()["candidates"][commit]["outcome"] == "Enforced"
