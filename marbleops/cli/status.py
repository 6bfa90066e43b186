"""``status`` and ``wait``: read what the reconciler wrote about its targets.

A status file is a claim by an untrusted program; ``verify`` asks the enclave itself.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import config_options, path_option, repository_option
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from marbleops.cli.output import Printer

POLL_SECONDS = 0.1
_DURATION = re.compile(r"(\d{1,6})(ms|s|m|h)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_MARKS = {"Enforced": GOOD, "Waiting": NOTE, "Retrying": NOTE}
_FINAL = frozenset({"Refused", "Superseded", "Stalled"})
_STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The reconciler's stateDir, instead of --config.",
)
_REMEMBER = click.option(
    "--remember", is_flag=True, help="Keep what is enforced in this clone, for the commit hook (as reported)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFile:
    """Where one target's status is written."""

    target: str
    file: Path

    def read(self) -> dict[str, Any] | None:
        """Return the status; None before the first run.

        Raises:
            UsageProblem: it is damaged.
        """
        from marbleops.cli.files import read_json_object

        return read_json_object(self.file) if self.file.is_file() else None


@click.command()
@click.argument("host", metavar="[HOST:PORT]", required=False)
@config_options
@_STATE_DIR
@repository_option
@path_option
@_REMEMBER
def status(
    *,
    host: str | None,
    config: Path | None,
    target: str | None,
    state_dir: Path | None,
    repository: Path,
    manifest_path: str | None,
    remember: bool,
) -> int:
    """Show what each target of the reconciler is doing, or where the Coordinator at HOST:PORT stands.

    Per target: commit, step, outcome, reason, approvals there and missing, and the enforced version.
    Of a Coordinator: number and meaning of its state, as MarbleRun's status does.

    \b
      marbleops status --config reconciler.json
      marbleops status localhost:4433
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    if host is not None:
        return _coordinator(host, config or target or state_dir)
    found = [(file, file.read()) for file in status_files(config, state_dir, target)]
    out = printer()
    out.document(
        {"targets": [document or {"target": file.target, "outcome": None} for file, document in found]}
    )
    for file, document in found:
        _show(out, file.target, document)
        if remember and document is not None:
            _remember(repository, manifest_path, document)
    return Exit.OK


def _coordinator(host: str, other: object) -> int:
    """Answer MarbleRun's form of the verb."""
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.marblerun.status import coordinator_status

    if other is not None and other != "":
        raise UsageProblem("HOST:PORT asks a Coordinator, the other options a reconciler: give one of them")
    return coordinator_status(host)


@click.command()
@click.argument("revision", metavar="REV")
@config_options
@_STATE_DIR
@repository_option
@path_option
@_REMEMBER
@click.option("--timeout", default="5m", show_default=True, help="Give up after this long, like 30s or 5m.")
def wait(
    *,
    revision: str,
    config: Path | None,
    target: str | None,
    state_dir: Path | None,
    repository: Path,
    manifest_path: str | None,
    remember: bool,
    timeout: str,
) -> int:
    """Wait until the manifest of commit REV is enforced or refused.

    A manifest that only lacks approvals is waited for: they may still be pushed.

    Exit codes: 0 enforced, 3 refused, superseded or stalled, with the reason, 4 the time is up.
    """
    from marbleops.cli.errors import UsageProblem

    files = status_files(config, state_dir, target)
    if not files:
        raise UsageProblem(
            "no target has a status here yet", next_step="marbleops reconciler run --config FILE"
        )
    if len(files) != 1:
        raise UsageProblem(
            f"wait for which target? There are: {', '.join(file.target for file in files)}",
            next_step="add --target NAME",
        )
    commit = _commit(repository, revision)
    document, answer = _poll(files[0], commit, seconds=duration(timeout))
    out = printer()
    out.document(answer)
    if remember and document is not None and answer["outcome"] == "Enforced":
        _remember(repository, manifest_path, document)
    _show_answer(out, answer, timeout)
    if answer["outcome"] == "Enforced":
        return Exit.OK
    return Exit.REFUSED if is_final(answer) else Exit.TIMEOUT


def status_files(config: Path | None, state_dir: Path | None, target: str | None) -> list[StatusFile]:
    """Return the status files of the targets that are meant.

    Raises:
        UsageProblem: neither a configuration nor a folder is given, or the configuration is refused.
    """
    from marbleops.cli.errors import UsageProblem

    if state_dir is not None:
        found = sorted(state_dir.glob("*/status.json"))
        files = [StatusFile(target=file.parent.name, file=file) for file in found]
        return [file for file in files if target in {None, file.target}]
    if config is None:
        raise UsageProblem("whose status?", next_step="add --config FILE, or --state-dir DIR")
    from reconciler.settings import SettingsError, read_settings

    try:
        settings = read_settings(config)
        targets = settings.targets if target is None else (settings.target(target),)
    except SettingsError as error:
        raise UsageProblem(str(error), where=str(config)) from error
    return [StatusFile(target=each.name, file=each.status_file) for each in targets]


def duration(text: str) -> float:
    """Read a duration like ``500ms``, ``30s``, ``5m`` or ``1h``, in seconds.

    Raises:
        UsageProblem: it is none.
    """
    from marbleops.cli.errors import UsageProblem

    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageProblem("not a duration", where=text[:32], next_step="write 30s, 5m or 1h")
    return int(match[1]) * _UNITS[match[2]]


def outcome_of(document: dict[str, Any] | None, commit: str) -> dict[str, Any]:
    """Return what a status says about *commit*; the keys are stable, values None where it says nothing."""
    answer: dict[str, Any] = dict.fromkeys(
        ("outcome", "reason", "message", "step", "class", "version", "digest")
    )
    answer |= {"commit": commit, "refusals": [], "requirements": [], "enforced": None}
    if document is None:
        return answer
    candidates = document.get("candidates")
    row = candidates.get(commit) if isinstance(candidates, dict) else None
    if isinstance(row, dict):
        answer |= {name: value for name, value in row.items() if name in answer}
    if document.get("commit") == commit:
        for name in ("outcome", "reason", "message", "step", "class", "refusals", "requirements"):
            answer[name] = answer[name] or document.get(name)
    enforced = document.get("enforced")
    answer["enforced"] = enforced
    if isinstance(enforced, dict) and enforced.get("commit") == commit:
        answer["outcome"] = "Enforced"
        answer["version"], answer["digest"] = enforced.get("version"), enforced.get("digest")
    return answer


def is_final(answer: dict[str, Any]) -> bool:
    """Tell whether waiting longer is no use: it is refused or stuck, and not for want of approvals alone."""
    from marbleops.cli.waiting import WAITING_REASONS

    if answer["outcome"] not in _FINAL:
        return False
    reasons = {row.get("reason") for row in answer["refusals"] or ()}
    return not (reasons and answer["outcome"] == "Refused" and reasons <= WAITING_REASONS)


def _poll(file: StatusFile, commit: str, *, seconds: float) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    end = time.monotonic() + seconds
    while True:
        document = file.read()
        answer = outcome_of(document, commit)
        if answer["outcome"] == "Enforced" or is_final(answer) or time.monotonic() >= end:
            return document, answer
        time.sleep(POLL_SECONDS)


def _show_answer(out: Printer, answer: dict[str, Any], timeout: str) -> None:
    commit, outcome = str(answer["commit"])[:12], answer["outcome"]
    if outcome is None:
        out.mark(BAD, f"{commit}: the reconciler has not looked at it in {timeout}; is it pushed?")
        out.line("  next: marbleops status")
        return
    out.mark(_MARKS.get(outcome, BAD), f"{commit}: {outcome}: {visible(answer['message'] or '')}")
    _show_refusals(out, answer)


def _commit(folder: Path, revision: str) -> str:
    """Resolve *revision* in the clone; a full id needs none."""
    from marbleops.cli.git import check_revision, is_object_id, repository

    check_revision(revision)
    return revision if is_object_id(revision) else repository(folder).commit_of(revision)


def _show(out: Printer, target: str, document: dict[str, Any] | None) -> None:
    if document is None:
        out.mark(NOTE, f"{target}: the reconciler has not looked yet")
        return
    outcome, reason = str(document.get("outcome")), str(document.get("reason"))
    commit = str(document.get("commit") or "no commit")[:12]
    kind = _MARKS.get(outcome, BAD)
    message = visible(str(document.get("message") or ""))
    out.mark(kind, f"{visible(target)}: {outcome} at {document.get('step')}: {message} [{visible(reason)}]")
    rows = [["commit", commit]]
    if document.get("need"):
        missing = ", ".join(visible(str(name)) for name in document.get("missing") or ()) or "nobody"
        rows.append(["approvals", f"{document.get('have')} of {document.get('need')}, missing: {missing}"])
    enforced = document.get("enforced")
    if isinstance(enforced, dict):
        rows.append(["enforced", f"version {enforced.get('version')}, {enforced.get('digest')}"])
        rows.append(["deployment", str(enforced.get("deployment"))])
    rows += [["warning", visible(str(words))] for words in document.get("warnings") or ()]
    candidates = document.get("candidates")
    candidate = candidates.get(document.get("commit")) if isinstance(candidates, dict) else None
    if outcome != "Enforced" and isinstance(candidate, dict) and candidate.get("since"):
        rows.append(["since", visible(str(candidate["since"]))])
    rows.append(["updated", str(document.get("updated"))])
    out.table(["", ""], rows)
    _show_refusals(out, document)


def _show_refusals(out: Printer, document: dict[str, Any]) -> None:
    for row in document.get("refusals") or ():
        place = f"line {row.get('line')}, column {row.get('column')}: " if row.get("line") else ""
        path = f"{visible(str(row['path']))}: " if row.get("path") else ""
        out.mark(BAD, f"{row.get('reason')}: {place}{path}{visible(str(row.get('message')))}")


def _remember(folder: Path, manifest_path: str | None, document: dict[str, Any]) -> None:
    from marbleops.cli.base import find_bytes
    from marbleops.cli.base import manifest_path as path_of
    from marbleops.cli.enforced import REPORTED, Known
    from marbleops.cli.enforced import remember as keep
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.git import repository
    from marbleops.manifest.digest import Digest

    enforced = document.get("enforced")
    if not isinstance(enforced, dict):
        return
    repo = repository(folder)
    path = path_of(repo, manifest_path)
    try:
        known = Known(
            path=path,
            digest=Digest.parse(str(enforced.get("digest"))),
            version=int(enforced.get("version") or 0),
            deployment=enforced.get("deployment"),
            how=REPORTED,
        )
    except (TypeError, ValueError) as error:
        raise UsageProblem(f"the status names no enforced manifest: {error}") from error
    keep(repo, known, raw=find_bytes(repo, path, known.digest))
