"""What must not be applied is refused with its reason, and what is enforced stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.outcome import Outcome
from tests.fakes.git import PATH
from tests.integration.reconciler.test_flows import GREEN, RED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.reconciler.conftest import Desk

pytestmark = pytest.mark.integration


def test_unsigned_push(desk: Desk) -> None:
    """A commit that nobody signed is refused; approvals may still arrive later."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    commit = desk.team.commit("green", by="alice", sign=False)
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "malformed-signature")
    assert desk.coordinator.version == 1
    assert desk.status()["candidates"][commit]["outcome"] == "Refused"
    ready = {row["type"]: row["status"] for row in desk.status()["conditions"]}
    assert ready["Ready"] == "True"
    assert ready["Approved"] == "False"


def test_strangers_key(desk: Desk) -> None:
    """A key the manifest does not list counts for nothing, whatever its statement says."""
    desk.team.add("stranger")
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="stranger", approve=raw)
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "unknown-key")
    assert len(desk.coordinator.submissions) == 1, "only the genesis was sent"


def test_approvers_unrelated_commit_on_top_of_a_planted_manifest(desk: Desk) -> None:
    """An approver's signature over other work does not approve a manifest that lies below it."""
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("planted", by="carol", sign=False)
    desk.team.write(b"readme\n", path="README.md")
    desk.team.commit("readme", by="alice")
    desk.team.push()
    report = desk.reconcile()
    assert report.outcome is Outcome.REFUSED
    assert report.reason in {"trailer-missing", "binding-not-allowed"}
    assert desk.coordinator.version == 1


def test_typo_names_path_line_and_column(desk: Desk) -> None:
    """A wrong field name is refused with its place in the text."""
    good = desk.next(desk.genesis(), Marbles=GREEN)
    raw = good.replace(b'"Parameters"', b'"Paramters"', 1)
    desk.team.write(raw)
    desk.team.commit("typo", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason, report.step.value) == (
        Outcome.REFUSED,
        "manifest-malformed",
        "validate",
    )
    row = desk.status()["refusals"][0]
    line = raw.decode().splitlines()[row["line"] - 1]
    assert "Paramters" in line
    assert "Paramters" in row["path"]
    assert row["column"] > 0


def test_not_json_at_all(desk: Desk) -> None:
    """A tip that cannot be read is refused, and nothing below it is considered."""
    desk.genesis()
    desk.team.write(b"{ not json")
    desk.team.commit("oops", by="alice")
    desk.team.push()
    assert desk.reconcile().reason == "manifest-malformed"
    assert desk.coordinator.version == 1


def test_lower_security_version(desk: Desk) -> None:
    """A SecurityVersion never falls, however many approve."""
    first = desk.genesis(
        Packages={"backend": {"SignerID": "ab" * 32, "ProductID": 15, "SecurityVersion": 5}},
        Marbles={"backend": {"Package": "backend", "Parameters": {}}},
        Roles={"updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}},
        Users=_users(desk),
    )
    document = json.loads(first)
    document["Packages"]["backend"]["SecurityVersion"] = 4
    raw = desk.next(first, **{name: value for name, value in document.items() if name != "GitOps"})
    desk.team.write(raw)
    desk.team.commit("lower", by="alice", approve=raw)
    for name in ("bob", "carol"):
        desk.team.tag(raw, by=name, version=2)
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "security-version-decreases")


def test_file_missing_or_a_link(desk: Desk) -> None:
    """Without a plain file at the path a person is needed."""
    desk.genesis()
    desk.team.git("rm", "-q", PATH)
    commit = desk.team.commit("gone", by="alice")
    desk.team.push()
    report = desk.reconcile()
    assert (report.outcome, report.reason) == (Outcome.STALLED, "InvalidPath")
    assert desk.status()["candidates"][commit]["reason"] == "InvalidPath"
    link: Path = desk.team.git.folder / PATH
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/etc/passwd")
    desk.team.git("add", PATH)
    desk.team.commit("link", by="alice")
    desk.team.push()
    assert desk.reconcile().reason == "InvalidPath"


def test_superseded_draft_with_enough_approvals(desk: Desk) -> None:
    """Of two successors the one nearer to the tip is considered; people are told to withdraw the other."""
    genesis = desk.genesis()
    old = desk.next(genesis, Marbles=GREEN)
    desk.team.write(old)
    first = desk.team.commit("green", by="alice", approve=old)
    desk.team.tag(old, by="bob", version=2)
    new = desk.next(genesis, Marbles=RED)
    desk.team.write(new)
    desk.team.commit("red", by="alice", approve=new)
    desk.team.push()
    report = desk.reconcile()
    assert report.outcome is Outcome.WAITING
    assert desk.coordinator.version == 1
    row = desk.status()["candidates"][first]
    assert row["outcome"] == "Superseded"
    assert "withdraw it" in row["message"]


def test_force_push_back_to_an_older_version(desk: Desk) -> None:
    """A branch that is moved back changes nothing; moved forward again all is well."""
    genesis = desk.genesis()
    first = desk.team.git("rev-parse", "HEAD")
    raw = desk.next(genesis, Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    desk.team.tag(raw, by="bob", version=2)
    desk.team.push()
    assert desk.reconcile().outcome is Outcome.ENFORCED
    desk.team.push(f"+{first}:refs/heads/main")
    report = desk.reconcile()
    assert report.outcome is Outcome.REFUSED
    assert report.reason in {"version-not-next", "previous-mismatch"}
    assert desk.coordinator.version == 2
    desk.team.push("+HEAD:refs/heads/main")
    assert desk.reconcile().outcome is Outcome.ENFORCED


def test_junk_tags_do_not_crowd_out_approvals(desk: Desk) -> None:
    """A hundred tags by a stranger that name the digest neither count nor reach the Coordinator."""
    desk.team.add("stranger")
    raw = desk.next(desk.genesis(), Marbles=GREEN)
    desk.team.write(raw)
    desk.team.commit("green", by="alice", approve=raw)
    name = desk.team.tag(raw, by="stranger", version=2, push=False)
    tag = desk.team.git("rev-parse", f"refs/tags/{name}")
    updates = "".join(f"create refs/tags/approve/shop-prod/2/zz{number:03} {tag}\n" for number in range(100))
    desk.team.git("update-ref", "--stdin", stdin=updates.encode())
    desk.team.push("HEAD:refs/heads/main", "refs/tags/approve/*:refs/tags/approve/*")
    desk.team.tag(raw, by="bob", version=2)
    assert desk.reconcile().outcome is Outcome.ENFORCED
    sent = desk.coordinator.submissions[-1][1]
    assert len(sent) == 2


def _users(desk: Desk) -> dict[str, object]:
    return {
        person.name: {"SigningKeys": [person.public], "Roles": ["updater"]}
        for person in desk.team.people.values()
    }
