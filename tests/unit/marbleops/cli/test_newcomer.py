"""What a stranger meets first: a wrong word, a wrong flag, a page to read; and scripts that read errors."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from marbleops.approval.decision import Decision, Outcome, PieceVerdict, Refusal
from marbleops.approval.reasons import Reason
from marbleops.attestation.verdict import Check
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.cli.output import Printer
from marbleops.cli.show import show_decision
from marbleops.cli.status import _show_refusals
from marbleops.cli.verify import _show_checks
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path


def page() -> tuple[Printer, io.BytesIO]:
    shown = io.BytesIO()
    return Printer(as_json=False, stream=io.TextIOWrapper(shown, "utf-8", write_through=True)), shown


@pytest.mark.parametrize("arguments", [[], ["hooks"], ["target"]])
def test_no_verb_shows_the_help_as_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A group alone prints its page as it is, on standard error, with the exit code of a usage error."""
    assert run(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.err.startswith("Usage: marbleops")
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--nonsense", "-o", "json"],
        ["nonsense", "--output", "json"],
        ["--nonsense", "--output=json"],
        ["-o", "json"],
        ["digest", "-o", "json"],
    ],
)
def test_usage_error_is_json_wherever_it_was_asked_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The word that stops the parser may stand before ``-o json``: a script still gets its object."""
    assert run(arguments) == Exit.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["next"].endswith("--help")
    assert "Usage:" not in error["message"]


def test_json_behind_the_double_dash_is_the_programs_own(capsys: pytest.CaptureFixture[str]) -> None:
    """What follows ``--`` belongs to the marble's program and changes nothing here."""
    assert run(["marble", "run", "--nonsense=1", "--platform", "x", "--", "-o", "json"]) == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_choices_are_listed_readably(capsys: pytest.CaptureFixture[str]) -> None:
    """No escaped tabs: the message of the parser fits our one line."""
    assert run(["completion"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert "bash, zsh, fish" in error
    assert "\\u0009" not in error


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("statement", "    ssh-keygen -Y sign -n manifest-approval@marbleops.v1 -f KEY approval.txt\n"),
        ("completion", '    zsh   marbleops completion zsh > "${fpath[1]}/_marbleops"\n'),
    ],
)
def test_commands_in_help_can_be_copied(verb: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Example commands stand on lines of their own, not flowed into a paragraph."""
    assert run([verb, "--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert line in shown
    assert "\\b" not in shown


def test_prediction_does_not_accuse_old_approvals() -> None:
    """Approvals of earlier versions are in every clone: one note, while a bad signature keeps its line."""
    pieces = (
        PieceVerdict(
            index=0, kind="tag", counted=False, reason=Reason.TRAILER_WRONG_DIGEST, message="another"
        ),
        PieceVerdict(index=1, kind="tag", counted=False, reason=Reason.DUPLICATE_USER, message="in force"),
        PieceVerdict(index=2, kind="commit", counted=False, reason=Reason.BAD_SIGNATURE, message="altered"),
    )
    refusal = Refusal(reason=Reason.THRESHOLD_NOT_MET, message="0 of 2")
    decision = Decision(outcome=Outcome.REFUSED, digest=Digest.of(b""), pieces=pieces, refusals=(refusal,))

    out, shown = page()
    show_decision(out, decision, predicted=True)
    predicted = shown.getvalue().decode()
    assert "trailer-wrong-digest" not in predicted
    assert "2 more statements" in predicted
    assert "commit not counted: bad-signature: altered" in predicted

    out, shown = page()
    show_decision(out, decision)
    assert "trailer-wrong-digest" in shown.getvalue().decode(), "the Coordinator's own answer is shown whole"


def test_failed_check_is_not_buried() -> None:
    """A refusal after a hundred good checks shows the bad one."""
    good = tuple(Check(name=f"Step {number}", ok=True, expected="", found="") for number in range(100))
    out, shown = page()
    _show_checks(out, (*good, Check(name="Deployment id", ok=False, expected="a", found="b")))
    assert shown.getvalue().decode().splitlines() == [
        "✔ 100 checks passed before (-o json lists them)",
        "✗ Deployment id: expected a, found b",
    ]


def test_refusal_without_a_place_has_one_colon() -> None:
    """``reason: message`` where the whole manifest is meant, ``reason: place: path: message`` elsewhere."""
    out, shown = page()
    _show_refusals(
        out,
        {
            "refusals": [
                {"reason": "threshold-not-met", "message": "0 of 2"},
                {"reason": "manifest-malformed", "message": "unknown", "path": "A.b", "line": 3, "column": 7},
            ]
        },
    )
    assert shown.getvalue().decode().splitlines() == [
        "✗ threshold-not-met: 0 of 2",
        "✗ manifest-malformed: line 3, column 7: A.b: unknown",
    ]


def test_wait_for_an_unseen_commit_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The usual cause is a push that was forgotten."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "status.json").write_text("{}")
    code = run(["wait", "1" * 40, "--state-dir", str(tmp_path), "--timeout", "1ms"])
    assert code == Exit.TIMEOUT
    assert "has not looked at it in 1ms; is it pushed?" in capsys.readouterr().out


def test_mistyped_root_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It must not look like an attack: nobody was asked yet."""
    assert run(["verify", "--coordinator", "127.0.0.1:1", "--root", "abc"]) == Exit.USAGE
    assert "abc: not a fingerprint" in capsys.readouterr().err


def test_reconciler_tells_a_bad_configuration_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The long-running programs refuse their settings like every other command."""
    file = tmp_path / "reconciler.json"
    file.write_text("{")
    assert run(["reconciler", "run", "--config", str(file), "-o", "json"]) == Exit.USAGE
    assert str(file) in json.loads(capsys.readouterr().out)["error"]["message"]


def test_broken_manifest_names_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line and column, and a next command that can be pasted."""
    file = tmp_path / "manifest.json"
    file.write_text("{}\nx")
    assert run(["statement", str(file), "--user", "alice"]) == Exit.REFUSED
    error = capsys.readouterr().err
    assert f"marbleops: {file}: 2:1: not JSON" in error
    assert f"next: marbleops lint {file}\n" in error


def test_wait_without_any_target_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty state folder: no reconciler has run on it."""
    assert run(["wait", "1" * 40, "--state-dir", str(tmp_path)]) == Exit.USAGE
    assert "reconciler run --config FILE" in capsys.readouterr().err


def test_impossible_address_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that cannot be is told as such, not as an internal error."""
    assert run(["verify", "--coordinator", "127.0.0.1:99999"]) == Exit.USAGE
    assert "next: write --coordinator HOST:PORT" in capsys.readouterr().err
