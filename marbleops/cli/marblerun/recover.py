"""``recover`` and ``recover-with-signature``: bring back a Coordinator that cannot open its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.options import EXISTING, file_option, recovery_key_options
from marbleops.cli.output import printer, visible

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.marblerun.options import AuthOptions
    from marbleops.wire.marblerun.recovery import RecoveryAnswer

UPLOAD = "upload"


@click.command()
@click.argument("file", metavar="SECRET", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@recovery_key_options
def recover(*, file: Path, host: str, auth: AuthOptions) -> int:
    """Upload a recovery secret, decrypted and signed with your recovery key.

    \b
      marbleops recover recovery.json localhost:4433 --key recovery.key

    SECRET is what manifest set gave out: the JSON, one secret of it in base64, or its bytes, encrypted or
    plain. With several recovery keys each holder does this until nothing remains.
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.cli.marblerun.credentials import recovery_key
    from marbleops.cli.marblerun.recovery_file import plain_secret
    from marbleops.cli.marblerun.sessions import attested_session
    from marbleops.wire.marblerun.recovery import recover as upload_signed

    key = recovery_key(auth)
    secret = plain_secret(file, key)
    with attested_session(host) as (session, _):
        return _tell(upload_signed(session, secret, key))


class _CommandWithHelpers(click.Group):
    """A command that has subcommands too: what names none of them is the command itself, as in MarbleRun."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's own name before arguments that name no subcommand."""
        own = not any(word in self.commands for word in args)
        if args and own and not {"-h", "--help"} & set(args):
            args.insert(0, UPLOAD)
        return super().parse_args(ctx, args)


@click.group(
    "recover-with-signature", cls=_CommandWithHelpers, subcommand_metavar="SECRET HOST:PORT -s FILE | COMMAND"
)
def recover_with_signature() -> None:
    """Recover with keys that never meet the Coordinator's network.

    \b
      marbleops recover-with-signature public-key localhost:4433 -o coordinator.pem    # online
      marbleops recover-with-signature sign-secret s.bin -k rec.key -o s.sig           # offline
      marbleops recover-with-signature encrypt-secret s.bin -k rec.key \\
          --coordinator-pub-key coordinator.pem -o s.enc                               # offline
      marbleops recover-with-signature s.enc localhost:4433 -s s.sig                   # online
    """  # noqa: D301


@recover_with_signature.command(UPLOAD, hidden=True)
@click.argument("file", metavar="SECRET", type=EXISTING)
@click.argument("host", metavar="HOST:PORT")
@click.option("-s", "--signature", type=EXISTING, required=True, help="Signature over the plain secret.")
def upload(*, file: Path, host: str, signature: Path) -> int:
    """Upload a secret and its signature as they are."""
    from marbleops.cli.files import read_bytes
    from marbleops.cli.marblerun.recovery_file import MAX_SECRET_FILE
    from marbleops.cli.marblerun.sessions import attested_session
    from marbleops.wire.marblerun.recovery import recover_with_signature as upload_signed

    secret = read_bytes(file, limit=MAX_SECRET_FILE)
    signed = read_bytes(signature, limit=MAX_SECRET_FILE)
    with attested_session(host) as (session, _):
        return _tell(upload_signed(session, secret, signed))


@recover_with_signature.command("public-key")
@click.argument("host", metavar="HOST:PORT")
@file_option("Write the key to this new file. Default: it is printed.")
def public_key(*, host: str, output: Path | None) -> int:
    """Get the key under which this instance of the Coordinator takes secrets.

    It lives until the instance ends or is recovered.

    \b
      marbleops recover-with-signature public-key localhost:4433 -o coordinator.pem
    """  # noqa: D301
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from marbleops.cli.marblerun.results import write_new
    from marbleops.cli.marblerun.sessions import attested_session
    from marbleops.wire.marblerun.recovery import recovery_public_key

    with attested_session(host) as (session, _):
        key = recovery_public_key(session)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    out = printer()
    out.document({"publicKey": pem.decode(), "file": str(output) if output is not None else None})
    if output is not None:
        write_new(output, pem)
    else:
        out.line(pem.decode().rstrip("\n"))
    return Exit.OK


@recover_with_signature.command("encrypt-secret")
@click.argument("file", metavar="SECRET", type=EXISTING)
@click.option("--coordinator-pub-key", type=EXISTING, required=True, help="What public-key gave (PEM).")
@recovery_key_options
@file_option("Write the encrypted secret to this new file.", required=True)
def encrypt_secret(*, file: Path, coordinator_pub_key: Path, auth: AuthOptions, output: Path) -> int:
    """Encrypt a recovery secret for the Coordinator, without a network.

    \b
      marbleops recover-with-signature encrypt-secret s.bin -k rec.key \\
          --coordinator-pub-key coordinator.pem -o s.enc
    """  # noqa: D301
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from marbleops.cli.errors import UsageProblem
    from marbleops.cli.files import read_bytes
    from marbleops.cli.marblerun.credentials import MAX_PEM_BYTES, recovery_key
    from marbleops.cli.marblerun.recovery_file import plain_secret
    from marbleops.cli.marblerun.results import write_new
    from marbleops.wire.marblerun.recovery import encrypt_recovery_secret_with_ephemeral_key

    try:
        target = load_pem_public_key(read_bytes(coordinator_pub_key, limit=MAX_PEM_BYTES))
    except ValueError as error:
        raise UsageProblem("not a PEM public key", where=str(coordinator_pub_key)) from error
    if not isinstance(target, RSAPublicKey):
        raise UsageProblem("the Coordinator's recovery key is an RSA key", where=str(coordinator_pub_key))
    plain = plain_secret(file, recovery_key(auth))
    write_new(output, encrypt_recovery_secret_with_ephemeral_key(plain, target))
    printer().document({"file": str(output)})
    return Exit.OK


@recover_with_signature.command("sign-secret")
@click.argument("file", metavar="SECRET", type=EXISTING)
@recovery_key_options
@file_option("Write the signature to this new file.", required=True)
def sign_secret(*, file: Path, auth: AuthOptions, output: Path) -> int:
    """Sign a recovery secret with your recovery key, without a network.

    \b
      marbleops recover-with-signature sign-secret s.bin -k rec.key -o s.sig
    """  # noqa: D301
    from marbleops.cli.marblerun.credentials import recovery_key
    from marbleops.cli.marblerun.recovery_file import plain_secret
    from marbleops.cli.marblerun.results import write_new
    from marbleops.wire.marblerun.recovery import sign_recovery_secret

    key = recovery_key(auth)
    write_new(output, sign_recovery_secret(plain_secret(file, key), key))
    printer().document({"file": str(output)})
    return Exit.OK


def _tell(answer: RecoveryAnswer) -> int:
    out = printer()
    out.document({"remaining": answer.remaining, "message": answer.message})
    out.line(visible(answer.message))
    return Exit.OK
