"""``coordinator``, ``reconciler run`` and ``marble run``: start the long-running programs."""

from __future__ import annotations

import os
from pathlib import Path

import click

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
def coordinator() -> int:
    """Run the Coordinator.

    \b
      marbleops simulation init platform
      EDG_COORDINATOR_PLATFORM=simulation EDG_COORDINATOR_SIMULATION_DIR=platform marbleops coordinator

    Its settings are MarbleRun's EDG_* environment variables; docs/configuration.md has all of them.
    EDG_COORDINATOR_PLATFORM has no default: a simulated Coordinator is always asked for by name.

    \b
      EDG_COORDINATOR_CLIENT_ADDR      for users and customers. Default: :4433
      EDG_COORDINATOR_MESH_ADDR        for marbles. Default: :2001
      EDG_COORDINATOR_DNS_NAMES        names in its certificate. Default: localhost
      EDG_COORDINATOR_SEAL_DIR         its sealed state. Default: marblerun-coordinator-data
      EDG_COORDINATOR_PROMETHEUS_ADDR  metrics, events, /healthz and /readyz. Default: off
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from coordinator.main import main

    return main(os.environ)


@click.group()
def reconciler() -> None:
    """Run the reconciler."""


@reconciler.command("run")
@click.option(
    "--config", type=_FILE, envvar="MARBLEOPS_CONFIG", required=True, help="Its configuration file."
)
@click.option("--once", is_flag=True, help="Reconcile every target once, then end.")
def reconciler_run(config: Path, once: bool) -> int:
    """Watch repositories and bring what is approved to their Coordinators.

    All targets of the configuration; its log is one JSON object per line on standard error.

    Exit codes of --once: 0 everything is enforced, 3 something is refused or stalled, 4 something waits.
    """
    from reconciler.main import run
    from reconciler.settings import read_settings

    read_settings(config)  # a refusal is told like every other command's; run() would only print it
    return run(config, once=once)


@click.group()
def marble() -> None:
    """Run a program as a marble."""


@marble.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--platform", type=click.Choice(["simulation"]), help="Where quotes come from. None: no quote.")
@click.option("--simulation-dir", type=_FOLDER, help="Folder of the simulation platform.")
@click.option("--enclave", type=_FILE, help="ENCLAVE.JSON, see above.")
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def marble_run(
    *, platform: str | None, simulation_dir: Path | None, enclave: Path | None, command: tuple[str, ...]
) -> int:
    """Activate at the Coordinator, set up files, environment and arguments, then become COMMAND.

    \b
      EDG_MARBLE_TYPE=backend marbleops marble run --platform simulation --simulation-dir platform \\
          --enclave enclave.json -- python3 app.py

    Arguments that the manifest gives replace COMMAND. Without --platform the quote is empty, and only a
    Coordinator with EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 takes that. Reads MarbleRun's variables:

    \b
      EDG_MARBLE_TYPE              which of the manifest's Marbles this is. Required
      EDG_MARBLE_COORDINATOR_ADDR  the Coordinator's port for marbles. Default: localhost:2001
      EDG_MARBLE_DNS_NAMES         names in its certificate, comma-separated. Default: localhost
      EDG_MARBLE_UUID_FILE         who it is, kept over restarts. Default: uuid in this folder
      EDG_MARBLE_COORDINATOR_ROOT  root certificate that the Coordinator must have (PEM). Default: any

    ENCLAVE.JSON says what a simulated enclave holds: signer, productID, securityVersion, debug, and the files
    that are measured. marbleops simulation measure shows the result in a manifest's words.

    Exit codes before COMMAND runs: 2 settings, 3 refused, 5 no answer, 6 another Coordinator, 126 it cannot
    be started.
    """  # noqa: D301
    from marbleops.marble.run import main

    given = {"--platform": platform, "--simulation-dir": simulation_dir, "--enclave": enclave}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    return main([*options, "--", *command], os.environ)
