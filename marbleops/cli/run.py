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

    Its settings are MarbleRun's EDG_* environment variables. EDG_COORDINATOR_PLATFORM has no default: a
    simulated Coordinator is always asked for by name.
    """
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
@click.option("--enclave", type=_FILE, help="enclave.json that says what is measured.")
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def marble_run(
    *, platform: str | None, simulation_dir: Path | None, enclave: Path | None, command: tuple[str, ...]
) -> int:
    """Activate at the Coordinator, set up files, environment and arguments, then become COMMAND.

    Reads MarbleRun's variables: EDG_MARBLE_COORDINATOR_ADDR, EDG_MARBLE_TYPE, EDG_MARBLE_DNS_NAMES,
    EDG_MARBLE_UUID_FILE. Arguments that the manifest gives replace COMMAND.
    """
    from marbleops.marble.run import main

    given = {"--platform": platform, "--simulation-dir": simulation_dir, "--enclave": enclave}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    return main([*options, "--", *command], os.environ)
