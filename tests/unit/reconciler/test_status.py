"""The status document: conditions as kstatus wants them, and what is remembered of commits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.approval.decision import Decision, Refusal, Requirement
from marbleops.approval.decision import Outcome as Verdict
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest
from reconciler import limits
from reconciler.outcome import Outcome, Step
from reconciler.status import Candidate, Report, read_status, render, write_status

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 23, tzinfo=UTC)
DIGEST = Digest.of(b"manifest")
ENFORCED = {"version": 1, "digest": str(DIGEST), "commit": "c0", "deployment": "d", "root": "r"}
REFUSAL = Refusal(reason=Reason.THRESHOLD_NOT_MET, message="1 of 2")
WAITING = Decision(
    outcome=Verdict.REFUSED,
    digest=DIGEST,
    requirements=(
        Requirement(words="approvers", needed=2, have=1, missing=("bob", "carol")),
        Requirement(words="security", needed=1, have=1),
    ),
    refusals=(REFUSAL,),
    summary="1 of 2, missing one of bob, carol",
)


def report(outcome: Outcome, reason: str = "Because", **changes: Any) -> Report:
    """Make a report."""
    base = Report(
        target="prod",
        generation=3,
        at=AT,
        step=Step.VERIFY,
        outcome=outcome,
        reason=reason,
        message="words",
        commit="c1",
        enforced=ENFORCED,
    )
    return replace(base, **changes)


def candidate(commit: str, outcome: Outcome, digest: Digest = DIGEST) -> Candidate:
    """Make a candidate."""
    return Candidate(
        commits=(commit,),
        digest=str(digest),
        version=2,
        outcome=outcome,
        reason="r",
        message="m",
        step=Step.VERIFY,
    )


def conditions(given: Report) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {row["type"]: (row["status"], row["reason"]) for row in render(given, {})["conditions"]}


def test_waiting_is_no_failure() -> None:
    """What is enforced stays ready while approvals are missing; the numbers say who."""
    document = render(report(Outcome.WAITING, decision=WAITING, refusals=WAITING.refusals), {})
    rows = {row["type"]: row for row in document["conditions"]}
    assert rows["Ready"]["status"] == "True"
    assert (rows["Approved"]["status"], rows["Approved"]["reason"]) == ("False", "ThresholdNotMet")
    assert {"Stalled", "Reconciling"}.isdisjoint(rows)
    assert (document["have"], document["need"], document["missing"]) == (1, 2, ["bob", "carol"])
    assert document["refusals"][0]["reason"] == "threshold-not-met"


@pytest.mark.parametrize(
    ("outcome", "ready", "extra"),
    [
        (Outcome.ENFORCED, "True", set()),
        (Outcome.REFUSED, "True", set()),
        (Outcome.SUPERSEDED, "True", set()),
        (Outcome.RETRYING, "Unknown", {"Reconciling"}),
        (Outcome.STALLED, "False", {"Stalled"}),
    ],
)
def test_abnormal_conditions_only_while_true(outcome: Outcome, ready: str, extra: set[str]) -> None:
    """Ready is always there; Reconciling and Stalled appear with their outcomes only."""
    found = conditions(report(outcome))
    assert found["Ready"][0] == ready
    assert set(found) == {"Ready", "SourceVerified", "Approved", "Applied"} | extra


def test_nothing_enforced_yet_is_not_ready() -> None:
    """Before the first manifest nothing is ready."""
    assert conditions(report(Outcome.WAITING, enforced=None))["Ready"][0] == "False"


def test_changed_coordinator_is_drift() -> None:
    """Another Coordinator is told as drift too, and the source is unknown then."""
    found = conditions(report(Outcome.STALLED, "CoordinatorChanged", commit=None))
    assert found["Drifted"] == ("True", "CoordinatorChanged")
    assert found["SourceVerified"][0] == "Unknown"


def test_transition_time_moves_only_with_the_status() -> None:
    """An unchanged condition keeps its time, and every one has the generation."""
    first = render(report(Outcome.ENFORCED), {})
    later = AT + timedelta(minutes=1)
    same = render(report(Outcome.ENFORCED, at=later), first)
    assert same["conditions"] == first["conditions"]
    other = render(report(Outcome.RETRYING, at=later), first)
    ready = next(row for row in other["conditions"] if row["type"] == "Ready")
    assert ready["lastTransitionTime"] != first["conditions"][0]["lastTransitionTime"]
    assert {row["observedGeneration"] for row in other["conditions"]} == {3}


def test_history_counts_equal_attempts() -> None:
    """Equal attempts in a row are one entry; five entries are kept."""
    document: dict[str, Any] = {}
    for _ in range(3):
        document = render(report(Outcome.RETRYING), document)
    assert [row["total"] for row in document["history"]] == [3]
    for number in range(9):
        document = render(report(Outcome.REFUSED, commit=f"x{number}"), document)
    assert len(document["history"]) == limits.MAX_HISTORY
    assert document["history"][0]["commit"] == "x8"


def test_a_candidate_keeps_when_it_was_first_seen() -> None:
    """How long a manifest waits can be told; other bytes under the same commit start anew."""
    document: dict[str, Any] = {}
    for minutes, digest in ((0, DIGEST), (5, DIGEST), (9, Digest.of(b"other"))):
        row = candidate("a", Outcome.WAITING, digest)
        at = AT + timedelta(minutes=minutes)
        document = render(report(Outcome.WAITING, at=at, candidates=(row,)), document)
        kept = document["candidates"]["a"]
        assert kept["since"][14:16] == ("09" if minutes == 9 else "00")
        assert kept["updated"][14:16] == f"{minutes:02d}"


def test_commits_are_remembered() -> None:
    """Each commit keeps its outcome; an enforced one is not overwritten by a later look; the oldest go."""
    document = render(report(Outcome.ENFORCED, candidates=(candidate("a", Outcome.ENFORCED),)), {})
    document = render(report(Outcome.REFUSED, candidates=(candidate("a", Outcome.REFUSED),)), document)
    assert document["candidates"]["a"]["outcome"] == "Enforced"
    other = candidate("a", Outcome.REFUSED, Digest.of(b"other"))
    assert (
        render(report(Outcome.REFUSED, candidates=(other,)), document)["candidates"]["a"]["outcome"]
        == "Refused"
    )
    for number in range(limits.MAX_CANDIDATES + 5):
        row = candidate(f"n{number}", Outcome.WAITING)
        document = render(report(Outcome.WAITING, candidates=(row,)), document)
    assert len(document["candidates"]) == limits.MAX_CANDIDATES
    assert "a" not in document["candidates"]


def test_written_and_read(tmp_path: Path) -> None:
    """A status file is read back; a damaged one is replaced by the next run."""
    path = tmp_path / "status.json"
    assert read_status(path) is None
    written = write_status(path, report(Outcome.ENFORCED))
    assert read_status(path) == written
    path.write_bytes(b"\xff")
    assert write_status(path, report(Outcome.WAITING))["outcome"] == "Waiting"
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize(
    "junk", [[], {"conditions": 1, "history": [1], "candidates": []}, {"conditions": [{}]}]
)
def test_foreign_content_is_survived(junk: Any) -> None:
    """What somebody else wrote into the file never breaks a run."""
    assert render(report(Outcome.ENFORCED), junk if isinstance(junk, dict) else {})["outcome"] == "Enforced"
