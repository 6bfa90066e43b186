"""``target accept``: a person's word that the Coordinator a target speaks to now is the right one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions
from marbleops.cli.output import GOOD, printer


@click.group()
def target() -> None:
    """Decide what a reconciler may not decide alone."""


@target.command()
@click.argument("name", required=False)
@click.option(
    "--config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="MARBLEOPS_CONFIG",
    help="Configuration file of the reconciler.",
)
@click.option(
    "--root", metavar="SHA256", help="The root you accept. Default: the attested Coordinator's, after asking."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(*, name: str | None, config: Path, root: str | None, yes: bool) -> int:
    """Accept another Coordinator for a target that is stalled with CoordinatorChanged.

    Do this when you know why the root changed: the deployment was recovered, or replaced on purpose. A new
    deployment's history starts anew, and clients that pinned the old one refuse it.
    """
    from marbleops.cli.errors import CommandError, UsageProblem
    from marbleops.cli.trust import attested_client, now, target_of
    from reconciler.state import Acceptance, write_acceptance

    chosen = target_of(config, name)
    if root is None:
        with attested_client(TrustOptions(config=config, target=chosen.name)) as client:
            assert client.attested is not None, "attested_client attests"
            root = client.attested.root_fingerprint
        if not yes:
            if not sys.stdin.isatty():
                raise UsageProblem(
                    "nobody to ask: standard input is no terminal", next_step=f"add --root {root}"
                )
            if not click.confirm(f"Let {chosen.name} speak to the Coordinator with root {root}?", err=True):
                raise CommandError("not accepted", exit_code=Exit.REFUSED, where=chosen.name)
    write_acceptance(chosen, Acceptance(root=root), at=now())
    out = printer()
    out.document({"target": chosen.name, "root": root})
    out.mark(GOOD, f"{chosen.name}: the Coordinator with root {root} is accepted from the next run on")
    return Exit.OK
