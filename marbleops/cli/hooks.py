"""``hooks install``, and the prepare-commit-msg hook itself.

The hook asks; it never decides for a person, except a package bump where ``git config marbleops.approve
bumps`` says so. It never stops a commit: whatever goes wrong, the commit is made without an
approval and says so.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import path_option, repository_option
from marbleops.cli.output import GOOD, NOTE, printer

if TYPE_CHECKING:
    from marbleops.cli.git import Repository

HOOK_NAME = "prepare-commit-msg"
MARKER = "# Installed by marbleops hooks install."


@click.group()
def hooks() -> None:
    """Install the commit hook that asks for your approval."""


@hooks.command()
@repository_option
@path_option
@click.option(
    "--bumps", is_flag=True, help="Approve package bumps unasked (git config marbleops.approve bumps)."
)
@click.option("--replace", is_flag=True, help="Replace another prepare-commit-msg hook.")
def install(*, repository: Path, manifest_path: str | None, bumps: bool, replace: bool) -> int:
    """Install the hook in this clone.

    On an ordinary new commit that changes the manifest, the hook shows class and semantic diff, asks, and
    adds the line that makes your signed commit an approval. It acts only if the manifest replaces what this
    clone last saw enforced: plan and approve with --coordinator or --config keep that, and so do status, wait
    and verify with --remember.
    """
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.git import check_path
    from marbleops.cli.git import repository as open_repository

    repo = open_repository(repository)
    configured = repo.config_all("marbleops.path")
    paths = (check_path(manifest_path),) if manifest_path else configured
    file = _hook_file(repo)
    if file.exists() and MARKER not in file.read_text(errors="replace") and not replace:
        raise UsageProblem(
            "another hook is installed",
            where=str(file),
            next_step=f"call {_command()} from it, or add --replace",
        )
    for path in paths:
        if path not in configured:
            repo.raw("config", "--add", "marbleops.path", path)
    if bumps:
        repo.raw("config", "marbleops.approve", "bumps")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(hook_script(), encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    out = printer()
    unasked = repo.config("marbleops.approve") == "bumps"
    out.document({"hook": str(file), "paths": list(paths), "bumpsUnasked": unasked})
    out.mark(GOOD, f"hook installed: {file}")
    watched = ", ".join(paths) or "a JSON file whose GitOps.Path names itself"
    out.mark(NOTE, f"it asks when a manifest changes: {watched}")
    if unasked:
        out.mark(NOTE, "package bumps are approved unasked")
    if (repo.config("commit.gpgSign") or "").lower() not in {"true", "1", "yes", "on"}:
        out.mark(NOTE, "only signed commits count: git config commit.gpgSign true, or git commit -S")
    return Exit.OK


@hooks.command(HOOK_NAME, hidden=True)
@click.argument("message_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("source", default="")
@click.argument("commit", default="")
def prepare_commit_msg(message_file: Path, source: str, commit: str) -> int:  # noqa: ARG001 - Git's three arguments
    """Act as Git's prepare-commit-msg hook."""
    from marbleops.cli.errors import translate
    from marbleops.cli.hook import NoApprovalError, run_hook

    try:
        run_hook(message_file, source=source, environment=os.environ, parent=os.getppid())
    except NoApprovalError as reason:
        sys.stderr.write(f"marbleops: no approval added: {reason}\n")
    except Exception as error:  # noqa: BLE001 - a hook must never stop a commit that it only comments on
        sys.stderr.write(f"marbleops: no approval added: {translate(error).what}\n")
    return Exit.OK


def hook_script() -> str:
    """Return the hook's text.

    ``-P`` keeps Python from importing modules out of the repository that is being committed to.
    """
    return (
        "#!/bin/sh\n"
        f"{MARKER} It asks for your approval when you change a manifest,\n"
        "# and never stops a commit. Remove this file to uninstall.\n"
        f"[ -x {shlex.quote(sys.executable)} ] || exit 0\n"
        f'exec {_command()} "$@"\n'
    )


def _command() -> str:
    return f"{shlex.quote(sys.executable)} -P -m marbleops hooks {HOOK_NAME}"


def _hook_file(repository: Repository) -> Path:
    return (repository.folder / repository.text("rev-parse", "--git-path", f"hooks/{HOOK_NAME}")).resolve()
