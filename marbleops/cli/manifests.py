"""``lint`` and ``digest``: what can be said about a manifest without a repository or a Coordinator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from marbleops.cli.output import Printer
    from marbleops.manifest.errors import Issue
    from marbleops.manifest.model import Manifest

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_FILES)
@click.option("--marblerun", is_flag=True, help="Check by MarbleRun's rules: unknown fields are allowed.")
def lint(paths: tuple[Path, ...], marblerun: bool) -> int:
    """Check manifests as strictly as the Coordinator does.

    Prints every problem with line, column and path, and advice that is not an error. Exit code 3 if one of
    the manifests would be refused. With --marblerun they may be YAML, as for manifest set; places are then
    told by path alone.
    """
    out = printer()
    reports = [_lint_one(path, marblerun=marblerun) for path in paths]
    out.document({"files": reports})
    for report in reports:
        _print_report(out, report)
    return Exit.OK if all(report["ok"] for report in reports) else Exit.REFUSED


@click.command()
@click.argument("file", metavar="FILE", type=_FILES)
def digest(file: Path) -> int:
    """Print the digest that approvals of a manifest name.

    It is the SHA-256 of its bytes as they are; nothing is canonicalised.
    """
    from marbleops.cli.files import read_bytes
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES

    found = Digest.of(read_bytes(file, limit=MAX_MANIFEST_BYTES))
    out = printer()
    out.document({"file": str(file), "digest": str(found)})
    out.line(str(found))
    return Exit.OK


def _lint_one(path: Path, *, marblerun: bool) -> dict[str, Any]:
    from marbleops.cli.files import read_bytes
    from marbleops.cli.marblerun.manifest_file import read_manifest
    from marbleops.manifest.errors import ManifestError
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES
    from marbleops.manifest.parse import Strictness, load
    from marbleops.manifest.template import dry_run

    strictness = Strictness.MARBLERUN if marblerun else Strictness.STRICT
    report: dict[str, Any] = {
        "file": str(path),
        "ok": True,
        "digest": None,
        "issues": [],
        "warnings": [],
        "facts": [],
    }
    converted = marblerun and path.suffix in {".yaml", ".yml"}
    raw = read_manifest(path) if converted else read_bytes(path, limit=MAX_MANIFEST_BYTES + 1)
    try:
        manifest = load(raw, strictness=strictness)
        report["digest"] = str(manifest.digest)
        dry_run(manifest)
        _approval_rules(manifest, report)
    except ManifestError as error:
        report["issues"].extend(_issue(issue) for issue in error.issues)
    else:
        report["warnings"] = [*_warnings(manifest), *(_marblerun_only(manifest) if marblerun else ())]
    if converted:  # places of the JSON that is sent for it would lead nowhere
        for row in (*report["issues"], *report["warnings"]):
            row["line"] = row["column"] = None
    report["ok"] = not report["issues"]
    return report


def _approval_rules(manifest: Manifest, report: dict[str, Any]) -> None:
    """Add what only the approval rules know: keys that cannot sign, quorums that cannot be met."""
    from marbleops.approval.policy import PolicyError, read_policy
    from marbleops.approval.satisfiability import satisfiability_words

    if manifest.gitops is None:
        return
    try:
        report["facts"] = list(satisfiability_words(read_policy(manifest)))
    except PolicyError as error:
        report["issues"].extend(
            {
                "code": str(refusal.reason),
                "path": refusal.path,
                "line": refusal.line,
                "column": refusal.column,
                "message": refusal.message,
                "expected": None,
                "hint": None,
            }
            for refusal in error.issues
        )


def _warnings(manifest: Manifest) -> list[dict[str, Any]]:
    from marbleops.manifest.lint import lint as advice

    return [
        {
            "code": warning.code,
            "path": warning.path,
            "line": warning.line,
            "column": warning.column,
            "message": warning.message,
        }
        for warning in advice(manifest)
    ]


def _marblerun_only(manifest: Manifest) -> list[dict[str, Any]]:
    """Say what our Coordinator accepts and MarbleRun's does not (approvals.md section 1)."""
    from marbleops.manifest.position import format_path, position_of

    rows: list[dict[str, Any]] = []
    for name in (name for name, user in manifest.users.items() if not user.certificate):
        line, column = position_of(manifest.raw, ("Users", name)) or (1, 1)
        rows.append(
            {
                "code": "marblerun-certificate",
                "path": format_path(("Users", name)),
                "line": line,
                "column": column,
                "message": "a MarbleRun Coordinator wants a Certificate for every user",
            }
        )
    return rows


def _issue(issue: Issue) -> dict[str, Any]:
    return {
        "code": str(issue.code),
        "path": issue.path,
        "line": issue.line,
        "column": issue.column,
        "message": issue.message,
        "expected": issue.expected,
        "hint": issue.hint,
    }


def _print_report(out: Printer, report: dict[str, Any]) -> None:
    file = visible(report["file"])
    for issue in report["issues"]:
        where = _where(file, issue)
        path = f" {visible(issue['path'])}:" if issue["path"] else ""
        hint = f" ({visible(issue['hint'])})" if issue["hint"] else ""
        out.mark(BAD, f"{where}:{path} {visible(issue['message'])}{hint} [{issue['code']}]")
    for warning in report["warnings"]:
        out.mark(NOTE, f"{_where(file, warning)}: {visible(warning['path'])}: {visible(warning['message'])}")
    for fact in report["facts"]:
        out.mark(NOTE, f"{file}: {visible(fact)}")
    if report["ok"]:
        out.mark(GOOD, f"{file}: {report['digest']}")


def _where(file: str, row: dict[str, Any]) -> str:
    return ":".join([file, *(str(row[key]) for key in ("line", "column") if row[key] is not None)])
