"""``marbleops demo``: the main job, for real, in nine scenes."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from marbleops.cli.demo import attacks, genesis, proof, updates
from marbleops.cli.demo.mesh import Mesh
from marbleops.cli.demo.narrator import Narrator, NotAsToldError
from marbleops.cli.demo.world import World
from marbleops.cli.exits import Exit
from marbleops.cli.output import printer

if TYPE_CHECKING:
    from marbleops.cli.output import Printer

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends the demo early: Ctrl-C, kill, and a terminal that is closed."""


def play(mesh: Mesh, tell: Narrator) -> None:
    """Play all scenes in order."""
    genesis.scene_1(mesh, tell)
    genesis.scene_2(mesh, tell)
    updates.scene_3(mesh, tell)
    proof.keep_old_disk(mesh)
    updates.scene_4(mesh, tell)
    attacks.scene_5(mesh, tell)
    updates.scene_6(mesh, tell)
    attacks.scene_7(mesh, tell)
    proof.scene_8(mesh, tell)
    proof.scene_9(mesh, tell)


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running, and print commands to play with.")
def demo(*, keep: bool) -> int:
    """Play the whole path on this machine.

    With real processes: git push to attested, enforced manifest, and what is refused. Needs git, ssh-keygen
    and half a minute; touches nothing outside a temporary folder. SIMULATION: no hardware protection.

    Exit codes: 0 all nine scenes were as told, 1 something was not, 130 interrupted; nothing is left behind.
    """
    out = printer()
    tell = Narrator(quiet=out.as_json)
    mesh = Mesh(World.create())
    for number in ENDINGS:
        signal.signal(number, mesh.world.interrupt)
    failure, code = None, Exit.OK
    try:
        play(mesh, tell)
    except NotAsToldError as error:
        failure, code = str(error), Exit.INTERNAL
    except KeyboardInterrupt:
        failure, code = "interrupted", Exit.INTERRUPTED
    finally:
        # Whoever presses Ctrl-C twice must not be left with half of the processes.
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        mesh.world.close(keep=keep)
    _closing(out, mesh, tell, failure, keep=keep)
    return code


def _closing(out: Printer, mesh: Mesh, tell: Narrator, failure: str | None, *, keep: bool) -> None:
    seconds = round(tell.elapsed(), 1)
    root = str(mesh.world.root) if keep else None
    out.document(
        {"ok": failure is None, "seconds": seconds, "failure": failure, "kept": root, "scenes": tell.scenes}
    )
    if out.as_json:
        return
    click.echo()
    if failure == "interrupted":
        click.secho(f"Interrupted after {seconds} s{'' if keep else '; nothing is left behind'}.", bold=True)
    elif failure:
        click.secho(f"NOT AS TOLD after {seconds} s: {failure}", fg="red", bold=True)
        if not keep:
            click.echo("  next: make demo DEMO_ARGS=--keep leaves the folder with all logs")
    else:
        click.secho(f"All nine scenes as told, in {seconds} s.", fg="green", bold=True)
    if keep:
        click.echo(f"\nEverything is still running below {root}. Play with it:")
        for line in _commands(mesh):
            click.echo(f"  {line}")


def _commands(mesh: Mesh) -> list[str]:
    root, ours = mesh.world.root, Path(sys.executable).parent
    lines = []
    if Path(which("marbleops") or "") != ours / "marbleops":
        lines.append(f'export PATH="{ours}:$PATH"')
    if mesh.deployment:
        trust = f"--insecure-simulation --anchor {mesh.simulation / 'anchor.der'} --era {mesh.era}"
        known = f"--deployment {mesh.deployment} --state {root / 'home' / 'pins.json'}"
        lines += [
            f"marbleops status --config {mesh.config}",
            f"marbleops verify --coordinator {mesh.here.client} {trust} {known}",
            f"cd {mesh.people['alice'].clone} && git log --show-signature -3 && marbleops plan --config {mesh.config}",
        ]
    return [*lines, f"ls {root / 'logs'}", f"sh {mesh.world.stop_script}   # end it, and remove the folder"]
