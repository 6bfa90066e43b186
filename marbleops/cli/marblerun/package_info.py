"""``package-info``: what a manifest must say about an enclave that was built."""

from __future__ import annotations

from pathlib import Path

import click

from marbleops.cli.exits import Exit
from marbleops.cli.output import printer, visible


@click.command("package-info")
@click.argument("path", metavar="PATH", type=click.Path(exists=True, path_type=Path))
def package_info(path: Path) -> int:
    """Print the PackageProperties of an enclave: an EGo, Gramine or Occlum file, or its folder.

    \b
      marbleops package-info ./my-signed-ego-program
      marbleops package-info python.sig                # Gramine
      marbleops package-info ./occlum-instance
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from marbleops.cli.errors import UsageProblem
    from marbleops.sigstruct.layout import SigstructError
    from marbleops.sigstruct.package import folder_kind, read_package

    try:
        found = read_package(path)
    except SigstructError as error:
        raise UsageProblem(
            str(error),
            where=str(path),
            next_step="sign the enclave first (ego sign, gramine-sgx-sign, occlum build)",
        ) from error
    out = printer()
    out.document(
        {
            "UniqueID": found.unique_id,
            "SignerID": found.signer_id,
            "ProductID": found.product_id,
            "SecurityVersion": found.security_version,
        }
    )
    kind = folder_kind(path)
    if kind is not None:
        out.line(f"Detected {kind}.")
    out.line(f"PackageProperties for {f'{kind} at ' if kind is not None else ''}'{visible(str(path))}':")
    out.line(f"UniqueID (MRENCLAVE)      : {found.unique_id}")
    out.line(f"SignerID (MRSIGNER)       : {found.signer_id}")
    out.line(f"ProductID (ISVPRODID)     : {found.product_id}")
    out.line(f"SecurityVersion (ISVSVN)  : {found.security_version}")
    return Exit.OK
