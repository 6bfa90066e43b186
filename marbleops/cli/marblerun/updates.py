"""``manifest update``: change the manifest of a deployment whose users are certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.options import EXISTING, file_option, recovery_file_option, user_options
from marbleops.cli.output import printer, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from marbleops.cli.marblerun.options import AuthOptions
    from marbleops.wire.marblerun.updates import UpdateAnswer


@click.group()
def update() -> None:
    """Update the manifest, or agree to another user's update.

    A manifest with nothing but Packages raises SecurityVersions; any other replaces the whole manifest and
    may have to wait until more users acknowledge it.
    """


@update.command()
@click.argument("file", metavar="FILE", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@user_options
@recovery_file_option
def apply(*, file: Path, host: str, auth: AuthOptions, recoverydata: Path | None) -> int:
    """Submit an update as a user of the manifest.

    \b
      marbleops manifest update apply new.json localhost:4433 --cert admin.crt --key admin.key
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.cli.marblerun.credentials import user_identity
    from marbleops.cli.marblerun.manifest_file import read_manifest, tell_ignored
    from marbleops.cli.marblerun.results import check_writable, give_recovery_secrets
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.updates import manifest_update_apply

    raw = read_manifest(file)
    tell_ignored(raw, file)
    check_writable(recoverydata)
    with cached_session(host, user_identity(auth)) as session:
        answer = manifest_update_apply(session, raw)
    out = printer()
    if answer.missing_acknowledgments == 0:
        out.line("Update manifest set successfully")
    else:
        out.line("Update manifest submitted successfully.")
        out.line("Changes are pending and have not been applied yet.")
        out.line(f"{_still_missing(answer)}.")
        out.line(f"The following users may acknowledge the update: {_people(answer.missing_users)}")
    saved = give_recovery_secrets(answer.recovery_secrets, recoverydata)
    out.document(_document(answer) | saved)
    return Exit.OK


@update.command()
@click.argument("file", metavar="FILE", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@user_options
@recovery_file_option
def acknowledge(*, file: Path, host: str, auth: AuthOptions, recoverydata: Path | None) -> int:
    """Agree to the pending update. FILE must be byte for byte the manifest that was submitted.

    \b
      marbleops manifest update get localhost:4433 -o pending.json     # read it first
      marbleops manifest update acknowledge pending.json localhost:4433 --cert bob.crt --key bob.key
    """  # noqa: D301
    from marbleops.cli.marblerun.credentials import user_identity
    from marbleops.cli.marblerun.manifest_file import read_manifest
    from marbleops.cli.marblerun.results import check_writable, give_recovery_secrets
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.updates import manifest_update_acknowledge

    raw = read_manifest(file)
    check_writable(recoverydata)
    with cached_session(host, user_identity(auth)) as session:
        answer = manifest_update_acknowledge(session, raw)
    out = printer()
    out.line("Acknowledgement successful:")
    for row in (answer.message or _still_missing(answer)).splitlines():
        out.line(visible(row))
    saved = give_recovery_secrets(answer.recovery_secrets, recoverydata)
    out.document(_document(answer) | saved)
    return Exit.OK


@update.command()
@click.argument("host", metavar="HOST:PORT")
@user_options
def cancel(*, host: str, auth: AuthOptions) -> int:
    """Withdraw the pending update, yours or another user's.

    \b
      marbleops manifest update cancel localhost:4433 --cert admin.crt --key admin.key
    """  # noqa: D301
    from marbleops.cli.marblerun.credentials import user_identity
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.updates import manifest_update_cancel

    with cached_session(host, user_identity(auth)) as session:
        manifest_update_cancel(session)
    out = printer()
    out.document({"cancelled": True})
    out.line("Cancellation successful")
    return Exit.OK


@update.command("get")
@click.argument("host", metavar="HOST:PORT")
@click.option("--missing", is_flag=True, help="Show who has not acknowledged yet instead.")
@file_option("Write the pending manifest to this file.")
def get(*, host: str, missing: bool, output: Path | None) -> int:
    """Show the pending update, byte for byte.

    \b
      marbleops manifest update get localhost:4433 --missing
    """  # noqa: D301
    from marbleops.cli.files import write_private
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.updates import manifest_update_get

    with cached_session(host) as session:
        pending = manifest_update_get(session)
    users = " ".join(visible(user) for user in pending.missing_users)
    text = f"The following users have not yet acknowledged the update: [{users}]"
    content = f"{text}\n".encode() if missing else pending.raw
    out = printer()
    out.document(
        {"manifest": pending.raw.decode("utf-8", "replace"), "missingUsers": list(pending.missing_users)}
    )
    if output is not None:
        write_private(output, content)
    elif missing:
        out.line(text)
    else:
        out.content(pending.raw.decode("utf-8", "replace"))
    return Exit.OK


def _still_missing(answer: UpdateAnswer) -> str:
    count = answer.missing_acknowledgments
    if count == 0:
        return "All users have acknowledged the update manifest. Update successfully applied"
    who = "1 user still needs" if count == 1 else f"{count} users still need"
    return f"{who} to acknowledge the update manifest"


def _people(users: Sequence[str]) -> str:
    return ", ".join(visible(user) for user in users)


def _document(answer: UpdateAnswer) -> dict[str, Any]:
    return {
        "applied": answer.missing_acknowledgments == 0,
        "missingAcknowledgments": answer.missing_acknowledgments,
        "missingUsers": list(answer.missing_users),
    }
