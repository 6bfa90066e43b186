"""``simulation``: the insecure platform for laptops and tests."""

from __future__ import annotations

from pathlib import Path

import click

from marbleops.cli.exits import Exit
from marbleops.cli.output import GOOD, notices, printer


@click.group()
def simulation() -> None:
    """Make and use an insecure simulation platform.

    It makes byte-exact quotes under a root of its own. Nothing about it protects anything.
    """


@simulation.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> int:
    """Make a simulation platform in DIR.

    anchor.der and collateral.json are for everybody, platform.key for the platform alone.
    """
    from marbleops.attestation.platform.simulation import SimulationPlatform
    from marbleops.cli.trust import now

    notices().line("SIMULATION - no hardware protection. Whoever reads platform.key can forge any quote.")
    SimulationPlatform.create(folder, at=now(), seed=None)
    out = printer()
    out.document({"folder": str(folder), "anchor": str(folder / "anchor.der")})
    out.mark(GOOD, f"simulation platform in {folder}")
    return Exit.OK


@simulation.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
def microcode(folder: Path) -> int:
    """Update the microcode of the simulated machine in DIR.

    Enclaves on it get other sealing keys, as after a real update: a Coordinator that starts there next waits
    for its recovery keys. There is no way back.
    """
    from marbleops.attestation.platform.simulation import SimulationPlatform

    level = SimulationPlatform.open(folder).update_microcode()
    out = printer()
    out.document({"folder": str(folder), "microcode": level})
    out.mark(GOOD, f"the simulated machine in {folder} has microcode {level}: its sealing keys are new")
    return Exit.OK


@simulation.command("serve-collateral")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8081, help="Port on 127.0.0.1. Default: 8081.")
@click.option(
    "--pccs", is_flag=True, help="Answer as a PCCS does: lists in hexadecimal, the root's among them."
)
def serve_collateral(folder: Path, port: int, pccs: bool) -> int:
    """Serve the collateral of the platform in DIR as Intel's PCS does, until interrupted.

    To try `marbleops collateral` without a network: --source pcs:http://127.0.0.1:8081
    """
    from marbleops.attestation.platform.simulation import SimulationPlatform
    from marbleops.cli.serving import serve

    answer = SimulationPlatform.open(folder).pcs(pccs=pccs).answer
    dialect = "pccs" if pccs else "pcs"
    with serve(answer, port) as (bound, wait):
        out = printer()
        out.document({"source": f"{dialect}:http://127.0.0.1:{bound}"})
        out.mark(GOOD, f"serving; use --source {dialect}:http://127.0.0.1:{bound}; end with Ctrl-C")
        wait()
    return Exit.OK


@simulation.command()
@click.argument("file", metavar="ENCLAVE.JSON", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def measure(file: Path) -> int:
    """Print what a simulated enclave measures to, in the words of a manifest's package."""
    from marbleops.attestation.platform.measure import measure as measured

    identity = measured(file)
    answer = {
        "UniqueID": identity.unique_id.hex(),
        "SignerID": identity.signer_id.hex(),
        "ProductID": identity.product_id,
        "SecurityVersion": identity.security_version,
        "Debug": identity.debug,
    }
    out = printer()
    out.document(answer)
    for name, value in answer.items():
        word = str(value).lower() if isinstance(value, bool) else value  # as a manifest writes it
        out.line(f"{name:<16} {word}")
    return Exit.OK


@simulation.command()
def era() -> int:
    """Print the era file of the Coordinator that this installation runs, for `--era`.

    A vendor publishes it for a real build. Here it says which signer, product and version a simulated
    Coordinator of this code has, so that clients can tell it from any other enclave.
    """
    import json

    from coordinator.adapters.simulation import own_identity

    identity = own_identity()
    answer = {
        "SignerID": identity.signer_id.hex(),
        "ProductID": identity.product_id,
        "SecurityVersion": identity.security_version,
        "Debug": identity.debug,
    }
    out = printer()
    out.document(answer)
    out.line(json.dumps(answer, indent=2))
    return Exit.OK
