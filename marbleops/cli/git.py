"""Git as the command line uses it: by absolute path, argument lists only, objects as they are.

Commands run as the user in the user's own repository, so Git's own configuration (which key signs, and how)
is kept. ``refs/replace`` is switched off: what a person approves are the object's own bytes. Nothing that
came from outside is ever given where Git reads an option.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from marbleops.cli.errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_OUTPUT = 64 * 1024 * 1024
"""More than this from one Git command is not a manifest repository."""
MAX_REVISION = 256
TIMEOUT_SECONDS = 60.0
_OBJECT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_PATH = re.compile(r"(?!.*(^|/)(\.|\.\.|\.git)(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)


class GitError(UsageProblem):
    """A Git command that failed; the text is Git's own last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree (or the place a hook runs in) that Git commands run in."""

    folder: Path

    def text(
        self, *arguments: str, config: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> str:
        """Run Git and return its output as text without the last line end."""
        raw = self.raw(*arguments, config=config, stdin=stdin)
        return raw.decode("utf-8", "surrogateescape").rstrip("\n")

    def raw(
        self,
        *arguments: str,
        config: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        interactive: bool = False,
    ) -> bytes:
        """Run Git and return its output.

        *interactive* lets Git and ``ssh-keygen`` talk to the person (pass phrases, touch prompts) for as long
        as it takes.

        Raises:
            GitError: Git is missing, failed, took too long or printed more than ``MAX_OUTPUT`` bytes.
        """
        command = [git_program(), *_options(config), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - an argument list, absolute path, no shell
                command,
                cwd=self.folder,
                env=_environment(),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                timeout=None if interactive else TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GitError(f"git {arguments[0]} took longer than {TIMEOUT_SECONDS:.0f} s") from error
        if done.returncode != 0:
            complaint = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()
            message = complaint[-1] if complaint else f"exit code {done.returncode}"
            raise GitError(f"git {arguments[0]} failed: {message}", where=str(self.folder))
        if len(done.stdout) > MAX_OUTPUT:
            raise GitError(f"git {arguments[0]} printed more than {MAX_OUTPUT} bytes", where=str(self.folder))
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Tell whether a Git command ends with exit code 0."""
        try:
            self.raw(*arguments)
        except GitError:
            return False
        return True

    def config(self, name: str) -> str | None:
        """Return the last value of a configuration variable, None where it is not set."""
        values = self.config_all(name)
        return values[-1] if values else None

    def config_all(self, name: str) -> tuple[str, ...]:
        """Return all values of a configuration variable."""
        try:
            listed = self.text("config", "--null", "--get-all", name)
        except GitError:
            return ()
        return tuple(value for value in listed.split("\0") if value)

    def config_path(self, name: str) -> str | None:
        """Return a configuration variable as a file name with ``~`` expanded."""
        try:
            return self.text("config", "--type=path", "--get", name) or None
        except GitError:
            return None

    def common_dir(self) -> Path:
        """Return the folder that holds the repository's shared state."""
        return (self.folder / self.text("rev-parse", "--git-common-dir")).resolve()

    def git_dir(self) -> Path:
        """Return the folder that holds this work tree's own state."""
        return (self.folder / self.text("rev-parse", "--git-dir")).resolve()

    def commit_of(self, revision: str) -> str:
        """Resolve *revision* to a commit's full id.

        Raises:
            UsageProblem: it looks like an option, is too long, or names no commit here.
        """
        check_revision(revision)
        try:
            found = self.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitError as error:
            raise UsageProblem(
                "no commit of that name in this repository", where=revision, next_step="git fetch --tags"
            ) from error
        commit = found.splitlines()[-1]
        if _OBJECT.fullmatch(commit) is None:
            raise UsageProblem("only SHA-1 repositories are supported", where=str(self.folder))
        return commit

    def object_at(self, name: str) -> str | None:
        """Return the id of ``<commit>:<path>`` or ``:<path>``; None where there is none."""
        try:
            found = self.text("rev-parse", "--verify", "--quiet", "--end-of-options", name).splitlines()[-1]
        except GitError:
            return None
        return found if _OBJECT.fullmatch(found) else None

    def blob(self, object_id: str, *, limit: int) -> bytes:
        """Return a blob's bytes.

        Raises:
            UsageProblem: it is no blob or longer than *limit*.
        """
        if int(self.text("cat-file", "-s", object_id)) > limit:
            raise UsageProblem(f"the file is larger than {limit} bytes", where=object_id)
        return self.raw("cat-file", "blob", object_id)


def repository(folder: Path) -> Repository:
    """Return the repository that *folder* is in.

    Raises:
        UsageProblem: it is in none.
    """
    found = Repository(folder=folder.resolve())
    try:
        top = found.text("rev-parse", "--show-toplevel")
    except GitError as error:
        if found.succeeds("rev-parse", "--git-dir"):
            return found
        raise UsageProblem("not in a Git repository", where=str(folder), next_step="cd REPOSITORY") from error
    return Repository(folder=Path(top)) if top else found


def check_revision(revision: str) -> None:
    """Refuse a revision that Git could read as an option.

    Raises:
        UsageProblem: it starts with ``-``, is empty, too long, or holds a control character.
    """
    if not revision or revision.startswith("-") or len(revision) > MAX_REVISION or not revision.isprintable():
        raise UsageProblem("not a usable revision", where=revision[:MAX_REVISION])


def check_path(path: str) -> str:
    """Return *path* if approvals.md section 1 allows it as a manifest's path.

    Raises:
        UsageProblem: a segment is not ``[A-Za-z0-9._-]+`` or is ``.``, ``..`` or ``.git``.
    """
    if len(path) > 1024 or path.startswith("-") or _PATH.fullmatch(path) is None:
        raise UsageProblem("not a usable manifest path", where=path[:MAX_REVISION])
    return path


def is_object_id(text: str) -> bool:
    """Tell whether *text* is a full SHA-1 object id."""
    return _OBJECT.fullmatch(text) is not None


@cache
def git_program() -> str:
    """Return the absolute path of git.

    Raises:
        UsageProblem: it is not installed.
    """
    return _program("git")


@cache
def ssh_keygen_program() -> str:
    """Return the absolute path of ssh-keygen.

    Raises:
        UsageProblem: it is not installed.
    """
    return _program("ssh-keygen")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UsageProblem(f"{name} is not installed", next_step=f"install {name} and try again")
    return str(Path(found).resolve()) if not Path(found).is_absolute() else found


def _options(config: Mapping[str, str] | None) -> Sequence[str]:
    pairs = {"core.quotePath": "false", "advice.detachedHead": "false", **(config or {})}
    return ["--no-pager", *(part for name, value in pairs.items() for part in ("-c", f"{name}={value}"))]


def _environment() -> dict[str, str]:
    kept = dict(os.environ)
    kept.update({"GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"})
    return kept
