"""Is this commit ordinary? The hook acts on nothing else (approvals.md section 2, the hook).

Git tells a prepare-commit-msg hook little: ``git commit --amend -m x`` looks like a new commit. So the hook
also looks at the commands that are running above it. Where it cannot tell, the commit is not ordinary: drafts
and other people's work must not become votes.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_ANCESTORS = 8
_NEW_COMMIT_SOURCES = frozenset({"", "message", "template"})
_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "SQUASH_MSG": "a squash merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or am",
    "sequencer": "a cherry-pick or revert",
}
_DRAFTS = ("fixup!", "squash!", "amend!", "wip", 'revert "')
_OTHER_VERBS = frozenset({"rebase", "cherry-pick", "revert", "am", "merge", "pull"})
_OPTIONS_WITH_VALUE = frozenset(
    {"-c", "-C", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Everything that tells what kind of commit is being made."""

    source: str
    message: str
    git_dir: Path
    environment: Mapping[str, str]
    ancestors: tuple[tuple[str, ...], ...]
    """Argument vectors of the running commands above the hook, nearest first; empty where unknown."""


def why_not_ordinary(occasion: Occasion) -> str | None:
    """Return why this is no ordinary new commit, or None if it is one."""
    if occasion.source not in _NEW_COMMIT_SOURCES:
        return f"the message comes from a {occasion.source}"
    for name, words in _IN_PROGRESS.items():
        if (occasion.git_dir / name).exists():
            return f"{words} is in progress"
    action = occasion.environment.get("GIT_REFLOG_ACTION", "")
    if action not in {"", "commit"}:
        return f"{action.split()[0]} is in progress"
    subject = subject_of(occasion.message)
    for prefix in _DRAFTS:
        if subject.lower().startswith(prefix):
            return f"the subject starts with {prefix!r}"
    return _by_ancestors(occasion.ancestors)


def running_commands(pid: int) -> tuple[tuple[str, ...], ...]:
    """Return the argument vectors of *pid* and the processes above it, nearest first."""
    found: list[tuple[str, ...]] = []
    while pid > 1 and len(found) < MAX_ANCESTORS:
        arguments, parent = _process(pid)
        if arguments is None:
            break
        found.append(arguments)
        pid = parent
    return tuple(found)


def git_verb(arguments: Sequence[str]) -> str | None:
    """Return the Git verb that a command runs; None if it is not Git."""
    if not arguments:
        return None
    program = PurePath(arguments[0]).name
    if program.startswith("git-"):
        return program.removeprefix("git-")
    if program != "git":
        return None
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in _OPTIONS_WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _by_ancestors(ancestors: tuple[tuple[str, ...], ...]) -> str | None:
    git = [(verb, arguments) for arguments in ancestors if (verb := git_verb(arguments)) is not None]
    if not git:
        return "it cannot be told whether this amends a commit"
    if git[0][0] != "commit":
        return f"git {git[0][0]} makes it"
    for verb, arguments in git:
        if verb in _OTHER_VERBS:
            return f"git {verb} makes it"
        # Git accepts every unambiguous beginning of a long option.
        if any(len(word) > 3 and "--amend".startswith(word) for word in arguments):
            return "it amends a commit"
    return None


def subject_of(message: str) -> str:
    """Return the first line that is neither empty nor a comment; empty where nothing is written yet."""
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _process(pid: int) -> tuple[tuple[str, ...] | None, int]:
    folder = Path("/proc") / str(pid)
    try:
        arguments = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        # The command's name stands in parentheses and may hold anything: the fields are counted behind it.
        parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return _process_by_ps(pid)
    return tuple(word.decode("utf-8", "replace") for word in arguments), parent


def _process_by_ps(pid: int) -> tuple[tuple[str, ...] | None, int]:
    """Ask ``ps`` where there is no /proc. Words are split at blanks, which can only find too many options."""
    program = shutil.which("ps")
    if program is None:
        return None, 0
    done = subprocess.run(  # noqa: S603 - an argument list, absolute path, no shell
        [program, "-ww", "-o", "ppid=,command=", "-p", str(pid)], capture_output=True, check=False, timeout=10
    )
    words = done.stdout.decode("utf-8", "replace").split()
    if done.returncode != 0 or len(words) < 2 or not words[0].isdigit():
        return None, 0
    return tuple(words[1:]), int(words[0])
