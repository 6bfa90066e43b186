"""``secret get`` and ``secret set``: values of secrets, as a user of the manifest."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.options import EXISTING, file_option, user_options
from marbleops.cli.output import printer, visible

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.marblerun.options import AuthOptions
    from marbleops.wire.marblerun.secret_values import SecretValue

_LABEL = 14


@click.group()
def secret() -> None:
    """Read secrets of the manifest, and upload user-defined ones.

    Your certificate must be one of the manifest's Users, with a role that allows it.
    """


@secret.command("set")
@click.argument("file", metavar="FILE", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@user_options
@click.option("--from-pem", metavar="NAME", help="FILE is PEM: certificate and key of the secret NAME.")
def set_(*, file: Path, host: str, auth: AuthOptions, from_pem: str | None) -> int:
    """Upload values of user-defined secrets: all in FILE, or none.

    \b
      echo '{"api_token": {"Key": "'$(printf hunter2 | base64)'"}}' > secrets.json
      marbleops secret set secrets.json localhost:4433 --cert admin.crt --key admin.key
      marbleops secret set site.pem localhost:4433 --from-pem site_cert --cert admin.crt --key admin.key
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.cli.marblerun.credentials import user_identity
    from marbleops.cli.marblerun.secret_file import read_pem_secret, read_secrets
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.secret_values import secret_set

    given = read_secrets(file) if from_pem is None else read_pem_secret(file, from_pem)
    with cached_session(host, user_identity(auth)) as session:
        secret_set(session, given)
    out = printer()
    out.document({"set": sorted(given)})
    out.line("Secret successfully set")
    return Exit.OK


@secret.command("get")
@click.argument("names", metavar="NAME... HOST:PORT", nargs=-1, required=True)
@user_options
@file_option("Write the secrets to this file, as JSON.")
def get(*, names: tuple[str, ...], auth: AuthOptions, output: Path | None) -> int:
    """Read secrets: all that are named, or none.

    \b
      marbleops secret get api_token site_cert localhost:4433 --cert admin.crt --key admin.key

    Keys are shown in base64, certificates and their keys as PEM.
    """  # noqa: D301
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.files import write_private
    from marbleops.cli.marblerun.credentials import user_identity
    from marbleops.cli.marblerun.sessions import cached_session
    from marbleops.wire.marblerun.secret_values import secret_get

    *wanted, host = names
    if not wanted:
        raise UsageProblem("no secret named", next_step="marbleops secret get NAME... HOST:PORT")
    with cached_session(host, user_identity(auth)) as session:
        found = secret_get(session, wanted)
    out = printer()
    document = {name: go_document(value) for name, value in found.items()}
    if output is not None:
        write_private(output, json.dumps(document, separators=(",", ":")).encode())
        out.document({"file": str(output), "secrets": sorted(found)})
        out.line(f"Saved secrets to: {output}")
        return Exit.OK
    out.document(document)
    for name, value in found.items():
        for row in secret_lines(name, value):
            out.line(row)
    return Exit.OK


def go_document(value: SecretValue) -> dict[str, Any]:
    """Return a secret with MarbleRun's names, byte values in base64, null where there is none."""
    return {
        "Type": value.type,
        "Size": value.size,
        "Shared": value.shared,
        "UserDefined": value.user_defined,
        "Cert": _base64(value.certificate),
        "ValidFor": value.valid_for,
        "Private": _base64(value.private),
        "Public": _base64(value.public),
    }


def secret_lines(name: str, value: SecretValue) -> list[str]:
    """Return a secret for a person, in MarbleRun's layout: a line per field, then an empty one.

    Byte values are base64 and PEM, where MarbleRun prints decimal numbers.
    """
    lines = [f"{visible(name)}:", _row("Type", visible(value.type))]
    lines.append(_row("UserDefined", "true" if value.user_defined else "false"))
    if value.type == "plain":
        return [*lines, _row("Data", _base64(value.private) or "(not set)"), ""]
    lines.append(_row("Size", str(value.size)))
    if value.type == "symmetric-key":
        return [*lines, _row("Key", _base64(value.private) or "(not set)"), ""]
    lines.append(_row("Valid For", str(value.valid_for)))
    for label, kind, der in (
        ("Certificate", "CERTIFICATE", value.certificate),
        ("Public Key", "PUBLIC KEY", value.public),
        ("Private Key", "PRIVATE KEY", value.private),
    ):
        lines.append(_row(label, "" if der else "(not set)").rstrip())
        lines += [f"\t{row}" for row in (_pem(kind, der) if der else [])]
    return [*lines, ""]


def _row(label: str, text: str) -> str:
    return f"\t{label + ':':<{_LABEL}} {text}"


def _pem(kind: str, der: bytes) -> list[str]:
    text = base64.b64encode(der).decode()
    body = [text[at : at + 64] for at in range(0, len(text), 64)]
    return [f"-----BEGIN {kind}-----", *body, f"-----END {kind}-----"]


def _base64(value: bytes) -> str | None:
    return base64.b64encode(value).decode() if value else None
