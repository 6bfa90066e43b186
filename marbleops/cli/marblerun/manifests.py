"""``manifest get``, ``set``, ``verify``, ``log`` and ``signature``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.options import EXISTING, client_options, file_option, recovery_file_option
from marbleops.cli.marblerun.updates import update
from marbleops.cli.output import notices, printer

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.wire.marblerun.session import Introduction

APPLIED = "Complete Manifest updated"
REPLACED = (
    "this manifest replaced a state that waited for recovery. Was that a mistake? The old state is kept as "
    "state-TIME.db in the seal directory, and its recovery secrets still open it"
)


@click.group()
def manifest() -> None:
    """Set, show and update the manifest of a Coordinator, as MarbleRun's command line does.

    Where the manifest has a GitOps section, signed commits decide about updates: see plan, approve and apply.
    """


manifest.add_command(update)


@manifest.command("get")
@click.argument("host", metavar="HOST:PORT")
@click.option("-s", "--signature", is_flag=True, help="Also print the manifest's signature (its SHA-256).")
@click.option("-u", "--display-update", is_flag=True, help="Show raised SecurityVersions in the manifest.")
@click.option("--keep-cert", is_flag=True, help="Keep the Coordinator's certificate for later commands.")
@file_option("Write the manifest to this file.")
def get(*, host: str, signature: bool, display_update: bool, keep_cert: bool, output: Path | None) -> int:
    """Show the enforced manifest, after checking the Coordinator and its signature.

    \b
      marbleops manifest get localhost:4433 -o manifest.json
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.cli.files import write_private
    from marbleops.cli.marblerun.sessions import attested_session, check_cache, save_cache
    from marbleops.wire.marblerun.manifests import manifest_get, manifest_log

    if keep_cert:
        check_cache()
    with attested_session(host) as (session, introduction):
        _tell_verified(introduction, "now requesting manifest")
        found = manifest_get(session)
        text = found.raw.decode("utf-8")
        if display_update:
            text = with_updates(text, manifest_log(session))
        if keep_cert:
            save_cache(introduction)
    out = printer()
    document: dict[str, Any] = {"signature": found.digest.hex, "manifest": text}
    if signature:
        text = f'{{\n"ManifestSignature": "{found.digest.hex}",\n"Manifest": {text}}}'
    if output is not None:
        write_private(output, text.encode())
        out.document(document | {"file": str(output)})
        return Exit.OK
    out.document(document)
    out.content(f"{text}\n")
    return Exit.OK


@manifest.command("set")
@click.argument("file", metavar="FILE", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@recovery_file_option
def set_(*, file: Path, host: str, recoverydata: Path | None) -> int:
    """Set the first manifest (JSON or YAML), and keep the Coordinator's certificate.

    \b
      marbleops manifest set manifest.json localhost:4433 --recoverydata recovery.json

    The recovery secrets are shown only once: without them nobody opens the state on another machine.
    """  # noqa: D301
    from marbleops.cli.marblerun.advice import RECOVERY, state_of
    from marbleops.cli.marblerun.manifest_file import read_manifest, tell_ignored
    from marbleops.cli.marblerun.results import check_writable, give_recovery_secrets
    from marbleops.cli.marblerun.sessions import attested_session, check_cache, save_cache
    from marbleops.manifest.digest import Digest
    from marbleops.wire.marblerun.manifests import manifest_set

    raw = read_manifest(file)
    tell_ignored(raw, file)
    check_writable(recoverydata)
    check_cache()
    out = printer()
    with attested_session(host) as (session, introduction):
        _tell_verified(introduction, "now uploading manifest")
        signature = Digest.of(raw).hex
        out.line(f"Manifest signature: {signature}")
        waited = state_of(session) == RECOVERY
        secrets = manifest_set(session, raw)
        out.line("Manifest successfully set")
        if waited:
            notices().line(REPLACED, style="bold yellow")
        saved = give_recovery_secrets(secrets, recoverydata)
        save_cache(introduction)
    out.document({"signature": signature, **saved})
    return Exit.OK


@manifest.command()
@click.argument("expected", metavar="FILE|SIGNATURE")
@click.argument("host", metavar="HOST:PORT")
def verify(*, expected: str, host: str) -> int:
    """Check that a genuine Coordinator enforces exactly this manifest, and keep its certificate.

    \b
      marbleops manifest verify manifest.json localhost:4433

    Exit codes: 0 it does; 6 the Coordinator is not genuine or enforces another manifest.
    """  # noqa: D301
    from marbleops.cli.marblerun.manifest_file import expected_digest
    from marbleops.cli.marblerun.sessions import attested_session, check_cache, save_cache
    from marbleops.wire.marblerun.manifests import verify_marblerun_deployment

    wanted = expected_digest(expected)
    check_cache()
    with attested_session(host) as (session, introduction):
        verify_marblerun_deployment(session, wanted)
        save_cache(introduction)
    out = printer()
    out.document({"verified": introduction.verdict is not None, "signature": wanted.hex})
    out.line("OK")
    return Exit.OK


@manifest.command()
@click.argument("host", metavar="HOST:PORT")
@file_option("Write the log to this file.")
def log(*, host: str, output: Path | None) -> int:
    """Show what was changed since the first manifest, one JSON text per line.

    \b
      marbleops manifest log localhost:4433
    """  # noqa: D301
    from marbleops.cli.files import write_private
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.manifests import manifest_log

    with cached_session(host) as session:
        rows = manifest_log(session)
    out = printer()
    if not client_options().insecure:
        out.line("Successfully verified Coordinator, now requesting update log")
    text = "\n".join(row.rstrip() for row in rows)
    if output is not None:
        write_private(output, text.encode())
    else:
        out.line("Update log:")
        out.content(f"{text}\n")
    out.document({"updateLog": list(rows)})
    return Exit.OK


@manifest.command()
@click.argument("file", metavar="FILE", type=EXISTING)
def signature(file: Path) -> int:
    """Print the signature of a manifest: the SHA-256 of the bytes that are sent for it.

    \b
      marbleops manifest signature manifest.json
    """  # noqa: D301
    from marbleops.cli.marblerun.manifest_file import read_manifest
    from marbleops.manifest.digest import Digest

    found = Digest.of(read_manifest(file)).hex
    out = printer()
    out.document({"file": str(file), "signature": found})
    out.line(found)
    return Exit.OK


def _tell_verified(introduction: Introduction, what_now: str) -> None:
    """Say MarbleRun's words, where they are true: not under ``--insecure``."""
    if introduction.verdict is not None:
        printer().line(f"Successfully verified Coordinator, {what_now}")


def with_updates(text: str, rows: tuple[str, ...]) -> str:
    """Return the manifest with the SecurityVersions that package updates raised since it was put in force.

    Fields that are null are left out. What was raised before the last full update is history: MarbleRun's
    own command line shows it nevertheless.
    """
    shown = json.loads(text)
    packages = shown.get("Packages")
    for row in _since_full_update(rows):
        name, version = row.get("package"), row.get("new version")
        if isinstance(packages, dict) and isinstance(packages.get(name), dict) and isinstance(version, int):
            packages[name]["SecurityVersion"] = version
    return json.dumps(_without_nulls(shown), indent=4, ensure_ascii=False)


def _since_full_update(rows: tuple[str, ...]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for line in rows:
        try:
            row = json.loads(line)
        except ValueError:
            notices().line("a line of the update log is not JSON and was skipped")
            continue
        if not isinstance(row, dict):
            continue
        if row.get("update") == APPLIED:
            kept.clear()
        kept.append(row)
    return kept


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(child) for name, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nulls(child) for child in value if child is not None]
    return value
