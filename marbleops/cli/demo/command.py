"""``marbleops demo``: the main job, for real, in nine scenes."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import click

from marbleops.cli.demo import attacks, genesis, proof, updates
from marbleops.cli.demo.mesh import Mesh
from marbleops.cli.demo.narrator import Narrator, NotAsToldError
from marbleops.cli.demo.world import World

if TYPE_CHECKING:
    from types import FrameType


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


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
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to tell the story."
)
def demo(*, keep: bool, output: str) -> None:
    """Run the main job with real processes: git push to attested, enforced manifest, and what is refused.

    Needs git, ssh-keygen and half a minute; touches nothing outside a temporary folder. SIMULATION: no
    hardware protection. Exit code 1 if anything is not as told.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    tell = Narrator(quiet=output == "json")
    mesh = Mesh(World.create())
    failure: str | None = None
    try:
        play(mesh, tell)
    except NotAsToldError as error:
        failure = str(error)
    except KeyboardInterrupt:
        failure = "interrupted"
    finally:
        mesh.world.close(keep=keep)
    _closing(mesh, tell, failure, keep=keep, output=output)
    sys.exit(1 if failure else 0)


def _closing(mesh: Mesh, tell: Narrator, failure: str | None, *, keep: bool, output: str) -> None:
    seconds = round(tell.elapsed(), 1)
    if output == "json":
        click.echo(
            json.dumps(
                {"ok": failure is None, "seconds": seconds, "failure": failure, "scenes": tell.scenes},
                indent=2,
            )
        )
        return
    click.echo()
    if failure:
        click.secho(f"NOT AS TOLD after {seconds} s: {failure}", fg="red", bold=True)
    else:
        click.secho(f"All nine scenes as told, in {seconds} s.", fg="green", bold=True)
    if keep and mesh.coordinator is not None:
        click.echo(f"\nEverything is still running below {mesh.world.root}. Play with it:")
        for line in _commands(mesh):
            click.echo(f"  {line}")


def _commands(mesh: Mesh) -> list[str]:
    anchor = mesh.simulation / "anchor.der"
    client = mesh.here.client
    return [
        f"marbleops status --config {mesh.config}",
        f"marbleops verify --coordinator {client} --insecure-simulation --anchor {anchor} --deployment {mesh.deployment}",
        f"cd {mesh.people['alice'].clone} && git log --show-signature -3",
        f"pkill -9 -f {mesh.world.root}; rm -rf {mesh.world.root}   # end it",
    ]
