"""The commit hook with real git: it asks, and acts on ordinary new commits only (approvals.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Clone

pytestmark = pytest.mark.integration

WORD = "Approve-Manifest:"


@pytest.fixture
def bumps(clone: Clone) -> Clone:
    """Let package bumps be approved unasked: the only way a line appears without a terminal."""
    clone.git("config", "marbleops.approve", "bumps")
    return clone


def test_bump_is_approved_unasked(bumps: Clone) -> None:
    """An ordinary signed commit of a package bump gets exactly one line, as the last paragraph."""
    digest = bumps.draft(backend=2)
    assert bumps.commit().rstrip("\n").split("\n")[-1] == f"{WORD} {digest} by alice"
    assert bumps.mo("plan", "HEAD", codes=(10,)).out.count("approved by alice") == 1


def test_full_change_is_not_approved_unasked(bumps: Clone) -> None:
    """``bumps`` means bumps: anything else needs an answer, and nobody is there to give one."""
    bumps.draft(backend=2, greeting="good day")
    assert WORD not in bumps.commit()


def test_without_setting_and_terminal_nothing_is_added(clone: Clone) -> None:
    """The hook asks; with nobody to ask, the commit is a draft. The commit is made all the same."""
    clone.draft(backend=2)
    clone.git("add", "-A")
    done = clone.git("commit", "-q", "-S", "-m", "x")
    assert "no terminal" in done.err
    assert WORD not in clone.message()


@pytest.mark.parametrize(
    ("answer", "approved"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False)]
)
def test_terminal_is_asked(clone: Clone, answer: str, approved: bool) -> None:
    """On a terminal the diff is shown and the person's answer counts; only yes is yes."""
    digest = clone.draft(greeting="good day")
    clone.git("add", "-A")
    done = clone.type_to(answer, "git", "commit", "-q", "-S", "-m", "x")
    assert done.code == 0, done
    assert "GREETING" in done.out
    assert "good day" in done.out
    assert "NOT CHECKED" in done.out
    assert (f"{WORD} {digest} by alice" in clone.message()) is approved


def test_editor_keeps_the_line_last(bumps: Clone) -> None:
    """With an editor the line is in the last paragraph, above Git's comments, and stays there."""
    digest = bumps.draft(backend=2)
    bumps.git("add", "-A")
    editor = {"GIT_EDITOR": "sed -i '1s/^/raise the floor/'"}
    bumps.run("git", "commit", "-q", "-S", env=editor)
    assert bumps.message().rstrip("\n") == f"raise the floor\n\n{WORD} {digest} by alice"


def test_trailers_of_the_person_stay(bumps: Clone) -> None:
    """The line joins the trailers that are there."""
    bumps.draft(backend=2)
    lines = bumps.commit("--trailer", "Signed-off-by: Alice").rstrip("\n").split("\n")
    assert lines[-2] == "Signed-off-by: Alice"
    assert lines[-1].startswith(WORD)


def test_older_lines_are_removed(bumps: Clone) -> None:
    """A message that carries an approval of something else keeps none of it."""
    digest = bumps.draft(backend=2)
    old = f"{WORD} sha256:{'0' * 64} by alice"
    message = bumps.commit("-m", old, "-m", old.lower())
    found = [line for line in message.split("\n") if line.lower().startswith(WORD.lower())]
    assert found == [f"{WORD} {digest} by alice"]


def test_unrelated_commit_is_left_alone(bumps: Clone) -> None:
    """Nothing about the manifest changes: the message is not touched, not even an odd line in it."""
    (bumps.folder / "NOTES.md").write_text("lunch\n")
    assert bumps.commit("-m", f"{WORD} not ours") == f"change the mesh\n\n{WORD} not ours\n\n"


def test_amend_is_left_alone(bumps: Clone) -> None:
    """Amending with a message looks new to Git's hook arguments, but is not."""
    bumps.draft(backend=2)
    bumps.git("add", "-A")
    bumps.git("commit", "-q", "-S", "--amend", "-m", "reworded")
    assert WORD not in bumps.message()


def test_amend_of_an_approved_commit_goes_stale(bumps: Clone) -> None:
    """An amended draft carries at most the old line, whose digest no longer fits the new bytes."""
    old = bumps.draft(backend=2)
    bumps.commit()
    document = bumps.document()
    document["Packages"]["backend"]["SecurityVersion"] = 3
    new = bumps.write(document)
    bumps.git("add", "-A")
    bumps.git("commit", "-q", "-S", "--amend", "--no-edit")
    assert str(old) in bumps.message()
    assert str(new) not in bumps.message()


@pytest.mark.parametrize("subject", ["WIP", "wip: floor", "fixup! x", "squash! x", "amend! x"])
def test_draft_subjects_are_left_alone(bumps: Clone, subject: str) -> None:
    """Drafts say so and are not approved."""
    bumps.draft(backend=2)
    assert WORD not in bumps.commit(subject=subject)


def test_fixup_is_left_alone(bumps: Clone) -> None:
    """``git commit --fixup`` is a draft."""
    bumps.draft(backend=2)
    bumps.git("add", "-A")
    bumps.git("commit", "-q", "-S", "--fixup", "HEAD")
    assert WORD not in bumps.message()


def test_merge_is_left_alone(bumps: Clone) -> None:
    """A merge joins other people's work."""
    bumps.git("switch", "-q", "-c", "topic")
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    bumps.git("switch", "-q", "main")
    bumps.git("merge", "-q", "--no-ff", "-S", "-m", "merge topic", "topic")
    assert WORD not in bumps.message()


def test_squash_merge_is_left_alone(bumps: Clone) -> None:
    """A squash concatenates other people's messages, with ``-m`` or without."""
    bumps.git("switch", "-q", "-c", "topic")
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    bumps.git("switch", "-q", "main")
    bumps.git("merge", "-q", "--squash", "topic")
    bumps.git("commit", "-q", "-S", "-m", "squashed")
    assert WORD not in bumps.message()


@pytest.mark.parametrize(
    "verb", [["cherry-pick", "-S"], ["cherry-pick", "-S", "-x"], ["cherry-pick", "-S", "--edit"]]
)
def test_cherry_pick_is_left_alone(bumps: Clone, verb: list[str]) -> None:
    """Signing a cherry-pick of somebody else's commit is not a vote for it."""
    bumps.git("switch", "-q", "-c", "topic")
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    bumps.git("switch", "-q", "main")
    bumps.run("git", *verb, "topic", env={"GIT_EDITOR": "sed -i '1s/raise/lift/'"})
    assert WORD not in bumps.message()


@pytest.mark.parametrize("option", [["--no-edit"], ["--edit"]])
def test_revert_is_left_alone(bumps: Clone, option: list[str]) -> None:
    """A revert brings old bytes back; that is to be decided on its own."""
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    document = bumps.document()
    document["Packages"]["backend"]["SecurityVersion"] = 3
    bumps.write(document)
    bumps.commit_unseen("raise it further")
    bumps.run("git", "revert", "-S", *option, "HEAD", env={"GIT_EDITOR": "sed -i '1s/.*/lower it again/'"})
    assert WORD not in bumps.message()


@pytest.mark.parametrize("backend", ["--merge", "--apply"])
def test_rebase_is_left_alone(bumps: Clone, backend: str) -> None:
    """Rebasing re-signs every commit it moves, also with a reworded subject."""
    bumps.git("switch", "-q", "-c", "topic")
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    bumps.git("switch", "-q", "main")
    (bumps.folder / "NOTES.md").write_text("lunch\n")
    bumps.commit_unseen("notes")
    bumps.git("switch", "-q", "topic")
    bumps.git("rebase", "-q", "-S", backend, "main")
    assert WORD not in bumps.message()


def test_interactive_rebase_reword_is_left_alone(bumps: Clone) -> None:
    """``reword`` runs ``git commit --amend`` inside the rebase."""
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    editors = {"GIT_SEQUENCE_EDITOR": "sed -i s/^pick/reword/", "GIT_EDITOR": "sed -i 1s/raise/lift/"}
    bumps.run("git", "rebase", "-q", "-S", "-i", "HEAD~1", env=editors)
    assert bumps.message().startswith("lift the floor")
    assert WORD not in bumps.message()


def test_am_is_left_alone(bumps: Clone) -> None:
    """A mailed patch is somebody else's work."""
    bumps.git("switch", "-q", "-c", "topic")
    bumps.draft(backend=2)
    bumps.commit_unseen("raise the floor")
    patch = bumps.git("format-patch", "-1", "--stdout").out
    bumps.git("switch", "-q", "main")
    (bumps.keys / "patch").write_text(patch)
    bumps.git("am", "-q", "-S", str(bumps.keys / "patch"))
    assert WORD not in bumps.message()


def test_alias_that_amends_is_left_alone(bumps: Clone) -> None:
    """An alias hides the option from the command line that was typed, not from the one that runs."""
    bumps.git("config", "alias.again", "commit -q -S --amend")
    bumps.draft(backend=2)
    bumps.git("add", "-A")
    bumps.git("again", "-m", "reworded")
    assert WORD not in bumps.message()


def test_commit_reusing_a_message_is_left_alone(bumps: Clone) -> None:
    """``-C`` takes another commit's words."""
    bumps.draft(backend=2)
    bumps.git("add", "-A")
    bumps.git("commit", "-q", "-S", "-C", "HEAD")
    assert WORD not in bumps.message()


def test_other_previous_is_left_alone(bumps: Clone) -> None:
    """A draft on top of something that is not enforced is not approved, and the person is told."""
    bumps.draft(backend=2)
    bumps.commit(subject="WIP")
    bumps.draft(backend=3)
    bumps.git("add", "-A")
    done = bumps.git("commit", "-q", "-S", "-m", "x")
    assert "does not replace what this clone last saw enforced" in done.err
    assert WORD not in bumps.message()


def test_draft_that_fails_lint_is_left_alone(bumps: Clone) -> None:
    """What the Coordinator would refuse is not approved."""
    bumps.draft(backend=2)
    document = bumps.document()
    document["Packages"]["backend"]["Typo"] = 1
    bumps.write(document)
    bumps.git("add", "-A")
    done = bumps.git("commit", "-q", "-S", "-m", "x")
    assert "does not pass lint" in done.err
    assert WORD not in bumps.message()


def test_lower_version_is_left_alone(bumps: Clone) -> None:
    """A change that no signature can help is not signed."""
    bumps.draft(backend=0)
    bumps.git("add", "-A")
    done = bumps.git("commit", "-q", "-S", "-m", "x")
    assert "security-version-decreases" in done.err
    assert WORD not in bumps.message()


def test_stranger_is_left_alone(bumps: Clone) -> None:
    """A key that the manifest in force does not list approves nothing."""
    bumps.become("mallory")
    bumps.draft(backend=2)
    bumps.git("add", "-A")
    done = bumps.git("commit", "-q", "-S", "-m", "x")
    assert "under nobody" in done.err
    assert WORD not in bumps.message()


def test_staged_bytes_count_not_the_work_tree(bumps: Clone) -> None:
    """What is committed is what is approved: the work tree may already hold the next thought."""
    digest = bumps.draft(backend=2)
    bumps.git("add", "-A")
    document = bumps.document()
    document["Packages"]["backend"]["SecurityVersion"] = 9
    bumps.write(document)
    bumps.git("commit", "-q", "-S", "-m", "x")
    assert f"{WORD} {digest} by alice" in bumps.message()


def test_commit_all_sees_its_own_index(bumps: Clone) -> None:
    """``git commit -a`` and ``git commit PATH`` use an index of their own."""
    digest = bumps.draft(backend=2)
    bumps.git("commit", "-q", "-S", "-a", "-m", "x")
    assert f"{WORD} {digest} by alice" in bumps.message()


def test_repository_cannot_bring_its_own_modules(bumps: Clone) -> None:
    """A file in the repository is never imported by the hook."""
    (bumps.folder / "click.py").write_text("raise SystemExit(9)\n")
    (bumps.folder / "marbleops").mkdir()
    (bumps.folder / "marbleops" / "__init__.py").write_text("raise SystemExit(9)\n")
    bumps.draft(backend=2)
    assert WORD in bumps.commit()


def test_foreign_hook_is_not_replaced(clone: Clone) -> None:
    """Somebody's own hook stays unless the person says otherwise."""
    hook = clone.folder / ".git/hooks/prepare-commit-msg"
    hook.write_text("#!/bin/sh\n")
    done = clone.mo("hooks", "install", codes=(2,))
    assert "another hook is installed" in done.err
    clone.mo("hooks", "install", "--replace", "--bumps", "--path", "envs/prod/manifest.json")
    assert "marbleops" in hook.read_text()
    assert clone.git("config", "marbleops.approve").out.strip() == "bumps"
