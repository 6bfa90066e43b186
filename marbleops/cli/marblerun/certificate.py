"""``certificate root``, ``intermediate`` and ``chain``: the Coordinator's certificates, as files."""

from __future__ import annotations

from pathlib import Path

import click

from marbleops.cli.exits import Exit
from marbleops.cli.marblerun.options import file_option
from marbleops.cli.output import printer

ROOT, INTERMEDIATE = "root", "intermediate"


@click.group()
def certificate() -> None:
    """Save the certificates that the Coordinator's marbles chain to.

    The Coordinator is checked, and it must be the one whose certificate you keep (manifest verify keeps it).
    """


@certificate.command()
@click.argument("host", metavar="HOST:PORT")
@file_option("Default: marblerunRootCA.crt.")
def root(*, host: str, output: Path | None) -> int:
    """Save the root certificate: the same for the whole life of the deployment.

    \b
      marbleops certificate root localhost:4433 -o root.crt
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    return _save(host, output or Path("marblerunRootCA.crt"), "Root certificate", (ROOT,))


@certificate.command()
@click.argument("host", metavar="HOST:PORT")
@file_option("Default: marblerunIntermediateCA.crt.")
def intermediate(*, host: str, output: Path | None) -> int:
    """Save the intermediate certificate: another one after every update.

    \b
      marbleops certificate intermediate localhost:4433 -o intermediate.crt
    """  # noqa: D301
    place = output or Path("marblerunIntermediateCA.crt")
    return _save(host, place, "Intermediate certificate", (INTERMEDIATE,))


@certificate.command()
@click.argument("host", metavar="HOST:PORT")
@file_option("Default: marblerunChainCA.crt.")
def chain(*, host: str, output: Path | None) -> int:
    """Save both: the intermediate certificate, then the root certificate.

    \b
      marbleops certificate chain localhost:4433 -o chain.crt
    """  # noqa: D301
    place = output or Path("marblerunChainCA.crt")
    return _save(host, place, "Certificate chain", (INTERMEDIATE, ROOT))


def _save(host: str, file: Path, title: str, parts: tuple[str, ...]) -> int:
    from cryptography.hazmat.primitives.serialization import Encoding

    from marbleops.cli.errors import CommandError
    from marbleops.cli.files import write_private
    from marbleops.cli.marblerun.options import client_options
    from marbleops.cli.marblerun.sessions import attested_session, load_cache

    options = client_options()
    kept = None if options.insecure else load_cache(options).root
    with attested_session(host) as (_, introduction):
        found = introduction.certificates
    if kept is not None and kept != found.root:
        raise CommandError(
            "the Coordinator is genuine, but not the one whose certificate you keep",
            exit_code=Exit.UNTRUSTED,
            where=f"{host} ({options.coordinator_cert})",
            next_step=f"marbleops manifest verify FILE {host}, if a new deployment is what you expect",
        )
    wanted = {ROOT: found.root, INTERMEDIATE: found.intermediate}
    pem = b"".join(wanted[part].public_bytes(Encoding.PEM) for part in parts)
    write_private(file, pem)
    out = printer()
    out.document({"file": str(file), "pem": pem.decode()})
    out.line(f"{title} written to {file}")
    return Exit.OK
