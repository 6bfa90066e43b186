"""``apply``: the reconciler's last steps by hand, from a folder, with nothing else needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions, trust_options
from marbleops.cli.output import printer

if TYPE_CHECKING:
    from marbleops.approval.decision import Decision


@click.command()
@click.option(
    "--evidence",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with manifest.json and its evidence.",
)
@click.option("--dry-run", is_flag=True, help="Ask for the Coordinator's decision; change nothing.")
@trust_options
def apply(folder: Path, dry_run: bool, trust: TrustOptions) -> int:
    """Send a manifest and its evidence to a Coordinator.

    The folder holds manifest.json, raw objects *.commit and *.tag (git cat-file commit|tag ID), detached
    signatures <user>.sig (approval) and <user>.key-proof.sig, and any other *.json: an evidence array of the
    update call. The Coordinator is attested first and decides as for a reconciler.

    Exit codes: 0 applied, would be applied, or already enforced; 3 refused.
    """
    from marbleops.approval.decision import decision_to_json
    from marbleops.cli.evidence import read_folder
    from marbleops.cli.show import show_decision
    from marbleops.cli.trust import attested_client

    raw, pieces = read_folder(folder)
    with attested_client(trust) as client:
        decision: Decision = client.update(raw, pieces, dry_run=dry_run)
    out = printer()
    out.document(decision_to_json(decision))
    out.line(f"manifest  {decision.digest}  version {decision.version}", style="bold")
    out.line(f"class     {decision.change_class or 'not classified'}")
    show_decision(out, decision)
    return exit_of(decision)


def exit_of(decision: Decision) -> Exit:
    """Return ``apply``'s exit code for the Coordinator's decision."""
    from marbleops.approval.decision import Outcome

    return Exit.REFUSED if decision.outcome is Outcome.REFUSED else Exit.OK
