"""When the hook may act: on an ordinary new commit and on nothing that resembles one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from marbleops.cli.hook import without_approvals
from marbleops.cli.ordinary import Occasion, git_verb, why_not_ordinary

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = ("/usr/bin/git", "commit", "-S", "-m", "raise the floor")


@pytest.fixture
def occasion(tmp_path: Path) -> Occasion:
    return Occasion(
        source="message",
        message="raise the floor\n",
        git_dir=tmp_path,
        environment={},
        ancestors=(COMMIT, ("bash",)),
    )


@pytest.mark.parametrize("source", ["", "message", "template"])
def test_ordinary(occasion: Occasion, source: str) -> None:
    """A new commit, with a message or to be written, is ordinary."""
    assert why_not_ordinary(replace(occasion, source=source)) is None


@pytest.mark.parametrize("source", ["merge", "squash", "commit", "something-new"])
def test_other_sources_are_not(occasion: Occasion, source: str) -> None:
    """Messages that Git took from elsewhere carry other people's words."""
    assert why_not_ordinary(replace(occasion, source=source)) is not None


@pytest.mark.parametrize(
    "state",
    [
        "MERGE_HEAD",
        "SQUASH_MSG",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "rebase-merge",
        "rebase-apply",
        "sequencer",
    ],
)
def test_operation_in_progress_is_not(occasion: Occasion, state: str) -> None:
    """While Git replays or joins work, commits are not new work."""
    (occasion.git_dir / state).touch()
    assert why_not_ordinary(occasion) is not None


@pytest.mark.parametrize(
    "subject",
    ["fixup! x", "squash! x", "amend! x", "WIP", "wip: x", "WIP: x", 'Revert "x"', "# note\n\nfixup! x"],
)
def test_draft_subjects_are_not(occasion: Occasion, subject: str) -> None:
    """Drafts say so in their subject; comment lines are no subject."""
    assert why_not_ordinary(replace(occasion, message=f"{subject}\n")) is not None


@pytest.mark.parametrize(
    "ancestors",
    [
        (),
        (("bash",), ("sshd",)),
        (("git", "commit", "--amend", "-m", "x"),),
        (("git", "commit", "--am"),),
        (("git", "-c", "a=b", "revert", "HEAD"),),
        (COMMIT, ("git", "rebase", "--continue")),
        (("git-cherry-pick", "HEAD~1"),),
        (("git", "gui"),),
    ],
)
def test_commands_above_decide(occasion: Occasion, ancestors: tuple[tuple[str, ...], ...]) -> None:
    """Amending with ``-m`` looks new to Git's arguments; the running commands tell. Not knowing means no."""
    assert why_not_ordinary(replace(occasion, ancestors=ancestors)) is not None


def test_reflog_action_is_not(occasion: Occasion) -> None:
    """Git's own scripts name themselves."""
    assert why_not_ordinary(replace(occasion, environment={"GIT_REFLOG_ACTION": "rebase (pick)"})) is not None


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (("git", "-C", "/x", "--no-pager", "commit"), "commit"),
        (("/usr/lib/git-core/git", "commit"), "commit"),
        (("git",), None),
        (("vim", "commit"), None),
        ((), None),
    ],
)
def test_git_verb(arguments: tuple[str, ...], verb: str | None) -> None:
    """The verb is found behind Git's own options."""
    assert git_verb(arguments) == verb


def test_old_approvals_are_removed() -> None:
    """Every line that starts like an approval goes, in any case; the rest stays byte for byte."""
    message = "x\n\napprove-manifest: a\nApprove-Manifest: b\nSigned-off-by: c\n"
    assert without_approvals(message) == "x\n\nSigned-off-by: c\n"
