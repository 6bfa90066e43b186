"""``marbleops marble run``: activate, put everything in its place, and become the application.

Nothing is written and nothing is started unless the whole activation succeeded. What the manifest says wins:
its environment overwrites, its argument vector replaces the command unless it is empty.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from marbleops.marble.activate import (
    ActivationError,
    ActivationRefused,
    Parameters,
    UnsupportedParameters,
    UntrustedAnswer,
    activate,
)
from marbleops.marble.identity import IdentityError
from marbleops.marble.place import PlaceError, place_files
from marbleops.marble.settings import MarbleSettings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marbleops.attestation.platform.base import QuoteIssuer

USAGE, REFUSED, UNREACHABLE, UNTRUSTED = 2, 3, 5, 6
"""Exit codes before the application runs; the command line's table (``cli.exits``) says the same."""
CANNOT_START = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What this process is about to become."""

    argv: tuple[str, ...]
    env: Mapping[bytes, bytes] = field(repr=False)


class CommandError(Exception):
    """There is nothing to run, or the platform that was named cannot be used."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a marble; returns an exit code only where the application was not started."""
    options = _parse(argv)
    try:
        settings = MarbleSettings.from_environ(environ, directory=Path.cwd())
        issuer = _issuer(options)
        parameters = activate(settings, issuer)
        program = prepare(parameters, command=_command(options), environ=environ)
        place_files(parameters.files)
    except (SettingsError, CommandError, IdentityError) as error:
        return _say(str(error), USAGE)
    except (ActivationRefused, UnsupportedParameters) as refusal:
        return _say(str(refusal), REFUSED)
    except UntrustedAnswer as error:
        return _say(str(error), UNTRUSTED)
    except ActivationError as error:
        return _say(str(error), UNREACHABLE)
    except PlaceError as error:
        return _say(str(error), CANNOT_START)
    return _become(program)


def prepare(parameters: Parameters, *, command: tuple[str, ...], environ: Mapping[str, str]) -> Program:
    """Combine what the manifest gives with what was on the command line.

    Raises:
        CommandError: neither names a program, or a variable or argument cannot be given to a process.
    """
    argv = parameters.argv or command
    if not argv:
        raise CommandError("nothing to run: give a command after --, or Argv in the manifest")
    if any("\0" in argument for argument in argv):
        raise CommandError("the manifest's Argv holds a NUL character")
    env = {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}
    for name, value in parameters.env.items():
        if not name or "=" in name or "\0" in name:
            raise CommandError(f"the manifest's environment variable {name!r} has no possible name")
        if b"\0" in value:
            raise CommandError(f"the manifest's environment variable {name!r} holds a NUL byte")
        env[os.fsencode(name)] = value
    return Program(argv=argv, env=env)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="marbleops marble run",
        description="Activate as the marble EDG_MARBLE_TYPE and run COMMAND with what the manifest gives it.",
    )
    parser.add_argument("--platform", choices=["simulation"], help="where quotes come from; none: no quote")
    parser.add_argument("--simulation-dir", type=Path, help="the simulation platform's folder")
    parser.add_argument("--enclave", type=Path, help="enclave.json: what is measured and who signed it")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --; the manifest's Argv wins")
    return parser.parse_args(argv)


def _command(options: argparse.Namespace) -> tuple[str, ...]:
    words: list[str] = options.command
    return tuple(words[1:] if words[:1] == ["--"] else words)


def _issuer(options: argparse.Namespace) -> QuoteIssuer | None:
    if options.platform is None:
        if options.simulation_dir or options.enclave:
            raise CommandError("--simulation-dir and --enclave go with --platform simulation")
        _say("no --platform: activating with an empty quote, which proves nothing", 0)
        return None
    if options.simulation_dir is None or options.enclave is None:
        raise CommandError("--platform simulation needs --simulation-dir and --enclave")
    from marbleops.attestation.platform.measure import MeasureError, measure  # noqa: PLC0415  rarely needed
    from marbleops.attestation.platform.simulation import PlatformError, SimulationPlatform  # noqa: PLC0415

    try:
        identity = measure(options.enclave)
        issuer = SimulationPlatform.open(options.simulation_dir).issuer(identity)
    except (MeasureError, PlatformError) as error:
        raise CommandError(str(error)) from error
    _say("INSECURE simulation platform: quotes prove nothing about hardware", 0)
    return issuer


def _become(program: Program) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(program.argv[0], program.argv, program.env)  # noqa: S606  the manifest's program, no shell
    except OSError as error:
        return _say(f"{program.argv[0]} cannot be started: {error.strerror}", CANNOT_START)
    except ValueError:  # empty, or not in this system's encoding; the text would quote an argument
        return _say("the command cannot be given to this system", CANNOT_START)


def _say(words: str, code: int) -> int:
    sys.stderr.write(f"marbleops marble: {words}\n")
    return code
