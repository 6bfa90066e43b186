"""``statement``: the detached form of an approval, for machines without Git (air gap, forge outage)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from marbleops.cli.exits import Exit
from marbleops.cli.output import NOTE, notices, printer, visible

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest


@click.command()
@click.argument("file", metavar="MANIFEST", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--user", metavar="NAME", help="Who signs. Default: the user that the manifest lists the key under."
)
@click.option("--sign", "key", metavar="KEY", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="SSH key file (or a .pub whose key an agent holds) to sign with.")  # fmt: skip
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Where the armored signature goes. Default: standard output.")  # fmt: skip
@click.option("--prove-key", is_flag=True, help="The key proof of --sign KEY instead of an approval.")
def statement(*, file: Path, user: str | None, key: Path | None, out: Path | None, prove_key: bool) -> int:
    """Print the exact text that a detached approval of MANIFEST signs, or sign it.

    Without --sign the text goes to standard output, byte for byte, to be signed elsewhere:

    \b
      marbleops statement manifest.json --user alice > approval.txt
      ssh-keygen -Y sign -n manifest-approval@marbleops.v1 -f KEY approval.txt
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.approval.sshsig import NAMESPACE_STATEMENT
    from marbleops.cli.base import load_from
    from marbleops.cli.files import read_bytes
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES

    manifest = load_from(str(file), read_bytes(file, limit=MAX_MANIFEST_BYTES))
    name, text = _text(manifest, str(file), user=user, key=key, prove_key=prove_key)
    answer = {"user": name, "namespace": NAMESPACE_STATEMENT, "statement": text.decode(), "signature": None}
    output = printer()
    if key is None:
        output.document(answer)
        if not output.as_json:
            click.echo(text.decode(), nl=False)
        return Exit.OK
    armor = sign_detached(text, key)
    output.document({**answer, "signature": armor})
    if out is not None:
        out.write_text(armor, encoding="ascii")
        output.line(f"signed as {name}: {out}")
    elif not output.as_json:
        click.echo(armor, nl=False)
    return Exit.OK


def sign_detached(text: bytes, key: Path) -> str:
    """Sign *text* with ``ssh-keygen -Y sign`` in our namespace and return the armor.

    Raises:
        UsageProblem: ssh-keygen refuses.
    """
    from marbleops.approval.sshsig import NAMESPACE_STATEMENT
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.git import ssh_keygen_program

    done = subprocess.run(  # noqa: S603 - an argument list, absolute path, no shell
        [ssh_keygen_program(), "-Y", "sign", "-n", NAMESPACE_STATEMENT, "-f", str(key.resolve())],
        input=text,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        complaint = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        raise UsageProblem(complaint[-1] if complaint else "ssh-keygen refused to sign", where=str(key))
    return done.stdout.decode("ascii")


def _text(
    manifest: Manifest, where: str, *, user: str | None, key: Path | None, prove_key: bool
) -> tuple[str, bytes]:
    """Return who speaks and the text: an approval, or the proof of a key."""
    from marbleops.approval.statement import approval_statement, key_proof_statement
    from marbleops.cli.base import section_of
    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.keys import public_key_of, require_user

    section = section_of(manifest, where)
    public = public_key_of(key) if key is not None else None
    if user is None and public is not None:
        user = require_user(manifest, public, what="the manifest")
    if user is None:
        raise UsageProblem("who signs?", next_step="add --user NAME, or --sign KEY")
    if user not in manifest.users:
        words = f"the manifest lists no user {visible(user)}: it counts only if the one in force does"
        notices().mark(NOTE, words)
    if not prove_key:
        digest = manifest.digest
        return user, approval_statement(
            lineage=section.lineage, version=section.version, digest=digest, user=user
        )
    if public is None:
        raise UsageProblem("a key proof needs its key", next_step="add --sign KEY")
    return user, key_proof_statement(fingerprint=public.fingerprint, lineage=section.lineage, user=user)
