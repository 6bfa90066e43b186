"""What the commit hook does: find out whether it is asked at all, show the change, ask, and add the line.

The rules are approvals.md section 2, *The hook*, in its order. Every rule that does not hold leaves the
message alone; the reason goes to standard error where the person changed a manifest and would wonder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from marbleops.cli.ordinary import Occasion, running_commands, subject_of, why_not_ordinary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.cli.git import Repository
    from marbleops.cli.preview import Preview
    from marbleops.manifest.model import Manifest

TERMINAL = Path("/dev/tty")
MAX_MESSAGE_BYTES = 1024 * 1024
_LINE = "approve-manifest:"


class NoApprovalError(Exception):
    """The hook adds nothing; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The manifest as it is about to be committed."""

    path: str
    manifest: Manifest


def run_hook(message_file: Path, *, source: str, environment: Mapping[str, str], parent: int) -> None:
    """Add an approval to the message in *message_file*, if the rules allow it and the person wants it.

    Raises:
        NoApprovalError: a manifest changes and no approval is added.
    """
    from marbleops.cli.git import repository

    repo = repository(Path())
    paths = _changed_paths(repo)
    if not paths:
        return
    raw = message_file.read_bytes()
    if len(raw) > MAX_MESSAGE_BYTES:
        raise NoApprovalError(f"the message is longer than {MAX_MESSAGE_BYTES} bytes")
    message = raw.decode("utf-8", "surrogateescape")
    occasion = Occasion(
        source=source,
        message=message,
        git_dir=repo.git_dir(),
        environment=environment,
        ancestors=running_commands(parent),
    )
    reason = why_not_ordinary(occasion)
    if reason is not None:
        raise NoApprovalError(reason)
    if len(paths) > 1:
        raise NoApprovalError(f"one commit changes several manifests: {', '.join(paths)}")
    _act(repo, message_file, message, staged_manifest(repo, paths[0]))


def staged_manifest(repository: Repository, path: str) -> Staged:
    """Read the staged manifest at *path* and check all that the hook demands of it.

    Raises:
        NoApprovalError: it does not pass lint, or does not follow the enforced one.
    """
    from marbleops.approval.policy import PolicyError, read_policy
    from marbleops.cli.enforced import recall
    from marbleops.manifest.errors import ManifestError
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES
    from marbleops.manifest.parse import Strictness, load
    from marbleops.manifest.template import dry_run

    blob = repository.object_at(f":{path}")
    assert blob is not None, "only changed paths get here"
    try:
        manifest = load(repository.blob(blob, limit=MAX_MANIFEST_BYTES), strictness=Strictness.STRICT)
        dry_run(manifest)
        if manifest.gitops is None:
            raise NoApprovalError(f"{path} has no GitOps section")
        read_policy(manifest)
    except (ManifestError, PolicyError) as error:
        first = str(error).splitlines()[0]
        raise NoApprovalError(f"{path} does not pass lint: {first}") from error
    if manifest.gitops.path != path:
        raise NoApprovalError(f"{path} says it lives at {manifest.gitops.path}")
    known = recall(repository, path)
    if manifest.gitops.previous != (known.digest if known is not None else None):
        seen = f"{known.digest} (version {known.version})" if known is not None else "nothing"
        raise NoApprovalError(
            f"{path} does not replace what this clone last saw enforced, {seen}; "
            "ask anew with: marbleops status --remember, or marbleops plan --coordinator"
        )
    return Staged(path=path, manifest=manifest)


def with_approval(repository: Repository, message: str, line: str) -> str:
    """Return *message* with *line* as its only approval, as a trailer of the last paragraph.

    A message that is still to be written gets room for its subject above the line.
    """
    if not subject_of(message):
        return f"\n\n{line}\n{without_approvals(message)}"
    return repository.raw(
        "interpret-trailers",
        "--where=end",
        "--if-exists=add",
        "--if-missing=add",
        f"--trailer={line}",
        stdin=without_approvals(message).encode("utf-8", "surrogateescape"),
    ).decode("utf-8", "surrogateescape")


def without_approvals(message: str) -> str:
    """Return *message* without any line that starts like an approval."""
    kept = [line for line in message.splitlines(keepends=True) if not line.lower().startswith(_LINE)]
    return "".join(kept)


def _act(repo: Repository, message_file: Path, message: str, staged: Staged) -> None:
    from marbleops.approval.statement import approval_line
    from marbleops.cli.keys import signing_key, user_of
    from marbleops.cli.preview import hopeless, offline_basis, preview

    basis = offline_basis(repo, staged.path, staged.manifest)
    key = signing_key(repo, None)
    user = user_of(basis.manifest or staged.manifest, key.public)
    if user is None:
        raise NoApprovalError(f"the manifest in force lists your key {key.public.fingerprint} under nobody")
    line = approval_line(staged.manifest.digest, user)
    if [found for found in message.splitlines() if found.lower().startswith(_LINE)] == [line]:
        return
    _rewrite(message_file, without_approvals(message))
    page = preview(staged.manifest, basis, ())
    for refusal in hopeless(page.decision):
        raise NoApprovalError(f"it would be refused: {refusal.reason}: {refusal.message}")
    if repo.config("marbleops.approve") == "bumps" and page.is_bump:
        sys.stderr.write(f"marbleops: package bump approved as {user} (marbleops.approve = bumps)\n")
    elif not _asked(page, user):
        raise NoApprovalError("you said no")
    _rewrite(message_file, with_approval(repo, message, line))


def _changed_paths(repo: Repository) -> tuple[str, ...]:
    """Return the manifests whose staged bytes differ from HEAD's: configured ones, else found by content."""
    from marbleops.cli.base import discover
    from marbleops.cli.git import check_path

    changed = []
    for path in dict.fromkeys(repo.config_all("marbleops.path") or discover(repo, staged_only=True)):
        staged = repo.object_at(f":{check_path(path)}")
        if staged is not None and staged != repo.object_at(f"HEAD:{path}"):
            changed.append(path)
    return tuple(changed)


def _asked(page: Preview, user: str) -> bool:
    """Show the page on the terminal and ask.

    Raises:
        NoApprovalError: there is no terminal.
    """
    try:
        with TERMINAL.open("w", encoding="utf-8") as screen, TERMINAL.open("r", encoding="utf-8") as keyboard:
            return _ask_on(screen, keyboard, page, user)
    except OSError as error:
        raise NoApprovalError("there is no terminal to ask on; afterwards: marbleops approve HEAD") from error


def _ask_on(screen: TextIO, keyboard: TextIO, page: Preview, user: str) -> bool:
    from marbleops.cli.output import Printer
    from marbleops.cli.show import show_preview

    show_preview(Printer(as_json=False, stream=screen), page)
    screen.write(f"Approve {page.manifest.digest} as {user} with this commit? [y/N] ")
    screen.flush()
    return keyboard.readline(16).strip().lower() in {"y", "yes"}


def _rewrite(message_file: Path, message: str) -> None:
    message_file.write_bytes(message.encode("utf-8", "surrogateescape"))
