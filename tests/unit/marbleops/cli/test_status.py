"""Reading the reconciler's status: what it says about one commit, and which exit code follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.cli.errors import UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.cli.status import duration, outcome_of

if TYPE_CHECKING:
    from pathlib import Path

A, B = "a" * 40, "b" * 40
REFUSAL = {"reason": "unknown-key", "message": "nobody's", "path": "Users", "line": 3, "column": 1}


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "target": "shop",
        "commit": B,
        "step": "verify",
        "outcome": "Waiting",
        "reason": "threshold-not-met",
        "message": "1 of 2, missing one of bob, carol",
        "class": "full",
        "have": 1,
        "need": 2,
        "missing": ["bob", "carol"],
        "requirements": [],
        "refusals": [],
        "enforced": {
            "version": 1,
            "digest": "sha256:" + "0" * 64,
            "commit": A,
            "deployment": "d",
            "root": "r",
        },
        "updated": "2026-01-01T00:00:00Z",
        "candidates": {},
    }
    return base | changes


def state(tmp_path: Path, value: dict[str, Any]) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "status.json").write_text(json.dumps(value))
    return tmp_path


def test_enforced_commit_is_enforced() -> None:
    """What is enforced counts whatever the newest attempt is about."""
    answer = outcome_of(document(), A)
    assert (answer["outcome"], answer["version"]) == ("Enforced", 1)


def test_tip_and_candidates() -> None:
    """The tip is in the document itself, others among the candidates, unknown ones nowhere."""
    rows = {A: {"outcome": "Refused", "reason": "unknown-key", "message": "m", "refusals": [REFUSAL]}}
    told = document(candidates=rows, enforced=None)
    assert outcome_of(told, B)["outcome"] == "Waiting"
    assert outcome_of(told, A)["refusals"] == [REFUSAL]
    assert outcome_of(told, "c" * 40)["outcome"] is None
    assert outcome_of(None, A)["outcome"] is None


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("Enforced", Exit.OK),
        ("Refused", Exit.REFUSED),
        ("Stalled", Exit.REFUSED),
        ("Superseded", Exit.REFUSED),
        ("Waiting", Exit.TIMEOUT),
        ("Retrying", Exit.TIMEOUT),
    ],
)
def test_wait_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, code: Exit
) -> None:
    """0 enforced, 3 refused or stuck with the reason, 4 the time is up."""
    folder = state(tmp_path, document(outcome=outcome, refusals=[REFUSAL]))
    assert run(["wait", B, "--state-dir", str(folder), "--timeout", "0s"]) == code
    assert "unknown-key" in capsys.readouterr().out


def test_missing_approvals_are_waited_for(tmp_path: Path) -> None:
    """Refused because nobody approved yet is no end: approvals may still come. Anything else in it is."""
    lacking = REFUSAL | {"reason": "threshold-not-met"}
    folder = state(tmp_path, document(outcome="Refused", refusals=[lacking]))
    assert run(["wait", B, "--state-dir", str(folder), "--timeout", "0s"]) == Exit.TIMEOUT
    (folder / "shop" / "status.json").write_text(
        json.dumps(document(outcome="Refused", refusals=[lacking, REFUSAL]))
    )
    assert run(["wait", B, "--state-dir", str(folder), "--timeout", "0s"]) == Exit.REFUSED


@pytest.mark.parametrize(
    "odd", [{"candidates": []}, {"enforced": "x"}, {"refusals": None}, {"message": None}]
)
def test_odd_status_is_no_outcome(tmp_path: Path, odd: dict[str, Any]) -> None:
    """A status of another form is read as far as it goes; nothing of it becomes *enforced*."""
    folder = state(tmp_path, document(**odd))
    assert run(["wait", B, "--state-dir", str(folder), "--timeout", "0s"]) == Exit.TIMEOUT


def test_status_names_who_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K of n and the missing people, the enforced version, and each refusal with its place."""
    folder = state(tmp_path, document(refusals=[REFUSAL]))
    assert run(["status", "--state-dir", str(folder)]) == Exit.OK
    page = capsys.readouterr().out
    for words in ("1 of 2, missing: bob, carol", "version 1", "Users: nobody's", "line 3, column 1", B[:12]):
        assert words in page


def test_status_as_json_is_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON form is what the reconciler wrote, per target."""
    folder = state(tmp_path, document())
    assert run(["status", "--state-dir", str(folder), "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == {"targets": [document()]}


def test_status_is_not_trusted_with_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text in a status file cannot write escape sequences."""
    folder = state(tmp_path, document(message="\x1b[2Jall is well"))
    assert run(["status", "--state-dir", str(folder)]) == Exit.OK
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("7", 7)]
)
def test_duration(text: str, seconds: float) -> None:
    """Durations as people write them."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1s", "1 s", "1d", "٣s", "1.5s"])
def test_bad_duration(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(UsageProblem):
        duration(text)


@pytest.mark.parametrize("revision", ["-x", "--all", "", "a\nb", "x" * 300])
def test_wait_refuses_option_like_revisions(tmp_path: Path, revision: str) -> None:
    """A revision never reaches Git as an option."""
    folder = state(tmp_path, document())
    assert run(["wait", "--state-dir", str(folder), "--timeout", "0s", "--", revision]) == Exit.USAGE
