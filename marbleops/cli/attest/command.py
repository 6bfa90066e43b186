"""The verbs of ``marbleops attest``: their options, and nothing that takes time to import."""

from __future__ import annotations

import gc
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def attest() -> None:
    """Verify evidence of an enclave, explain it, look ahead.

    FILE may hold a quote or report as raw bytes, hexadecimal or Base64, an RA-TLS certificate (PEM or DER),
    or the JSON that a Coordinator answers to /quote.
    """
    # A fifth of the time of `explain` would be spent looking for garbage among freshly imported modules.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)


def _endorsements(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what vouches for evidence, under which root, when; handed on as ``given``."""
    options = [
        click.option(
            "--collateral", type=_FILE, metavar="FILE", help="Intel's collateral, as one JSON document."
        ),
        click.option("--certs", type=_FOLDER, metavar="DIR", help="AMD's certificates and revocation lists."),
        click.option(
            "--root",
            type=_FILE,
            metavar="FILE",
            help="Root certificate to trust: a vendor's, or a simulation platform's. Default: the vendors'.",
        ),
        click.option("--at", metavar="RFC3339", help="Judge as of this time. Default: now."),
        click.option("--allow-debug", is_flag=True, help="Let an environment for debugging verify."),
        click.option(
            "--require-crl",
            is_flag=True,
            help="SEV-SNP: reject where DIR holds no revocation list. Default: verify and say so.",
        ),
    ]

    @wraps(function)
    def with_given(**values: Any) -> Any:
        from marbleops.cli.attest.inputs import Given

        names = ("collateral", "certs", "root", "at", "allow_debug", "require_crl")
        return function(given=Given(**{name: values.pop(name) for name in names}), **values)

    decorated: Callable[..., Any] = with_given
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@attest.command()
@click.option("--quote", "file", type=_FILE, required=True, metavar="FILE", help="The evidence.")
@_endorsements
def verify(*, file: Path, given: Any) -> int:
    """Verify evidence and print the verdict.

    Says which environment of whom it is and how current its platform; not whether it is the wanted one.

    Exit codes: 0 it verifies; 6 it is rejected, with a code (docs/attestation-codes.md); 2 a file or an
    option cannot be used, so that nothing was verified.
    """
    from marbleops.cli.attest.verify import verify as run

    return run(file, given)


@attest.command()
@click.argument("file", metavar="FILE", type=_FILE)
@_endorsements
@click.option("--manifest", type=_FILE, help="Compare with the packages of this manifest.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page for a browser here."
)
def explain(*, file: Path, given: Any, manifest: Path | None, html: Path | None) -> int:
    """Say what evidence is, what was checked, what is missing.

    Without --collateral or --certs the evidence is decoded and nothing is verified.

    Exit codes: 0 it verifies, or there was nothing to verify it with; 6 it is rejected; 3 it verifies and no
    package of the manifest admits it; 2 a file or an option cannot be used.
    """
    from marbleops.cli.attest.explain import explain as run

    return run(file, given, manifest=manifest, html=html)


@attest.command()
@click.option("--quote", "file", type=_FILE, required=True, metavar="FILE", help="The evidence.")
@_endorsements
@click.option(
    "--next",
    "following",
    type=_FILE,
    required=True,
    help="Newer collateral, or the TCB info of a newer set as Intel's service answers it (update=early).",
)
@click.option(
    "--accept", multiple=True, metavar="STATUS", help="A TCB status that passes. Default: MarbleRun's."
)
def forecast(*, file: Path, given: Any, following: Path, accept: tuple[str, ...]) -> int:
    """Say whether a platform that passes today passes the next TCB set.

    Exit codes: 0 it passes both; 3 it passes today and not the next set; 6 it does not pass today.
    """
    from marbleops.cli.attest.forecast import forecast as run

    return run(file, given, following=following, accept=accept)


@attest.command()
@click.option("--simulation-dir", type=_FOLDER, help="Folder of a simulation platform, instead of hardware.")
@click.option("--enclave", type=_FILE, help="With --simulation-dir: enclave.json that says what is measured.")
@click.option(
    "--collateral", type=_FILE, metavar="FILE", help="Collateral to verify the machine's quote with."
)
@click.option("--cache", type=_FOLDER, metavar="DIR", help="Cache of collateral, to see how fresh it is.")
@click.option("--manifest", type=_FILE, help="Would this enclave be admitted by this manifest?")
@click.option(
    "--system-root", type=_FOLDER, default=Path("/"), metavar="DIR", help="Look for devices below DIR."
)
def doctor(**options: Any) -> int:
    """Look at this machine: can it quote, and would it pass.

    Exit codes: 0 all is well; 3 something is not, and it says what to do.
    """
    from marbleops.cli.attest.doctor import doctor as run

    return run(**options)
