"""Options that several verbs share: the output format, and how much of a Coordinator is trusted."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(slots=True)
class Settings:
    """What the options before and after the verb said; one per call of the program."""

    output: str = "text"
    client: dict[str, Any] = field(default_factory=dict)
    """MarbleRun's global flags, as far as they were given (``cli.marblerun.options``)."""


def _remember_output(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).output = value


def output_option() -> click.Option:
    """Return a new ``-o/--output`` option."""
    return click.Option(
        ["-o", "--output"],
        type=click.Choice(["text", "json"]),
        default=None,
        expose_value=False,
        is_eager=True,
        callback=_remember_output,
        help="Format of the answer. Default: text.",
    )


def add_output_option(command: click.Command) -> None:
    """Give *command* and all its subcommands ``-o/--output``, once."""
    if not any("--output" in parameter.opts for parameter in command.params):
        command.params.append(output_option())
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_output_option(child)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustOptions:
    """Which Coordinator to ask and what must hold before its answers count."""

    coordinator: str | None = None
    era: Path | None = None
    anchor: Path | None = None
    insecure_simulation: bool = False
    root: str | None = None
    config: Path | None = None
    target: str | None = None

    @property
    def named(self) -> bool:
        """Tell whether a Coordinator was named at all."""
        return self.coordinator is not None or self.config is not None


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def config_options(function: F) -> F:
    """Add ``--config`` and ``--target``: a reconciler's configuration, and one target of it."""
    config = click.option(
        "--config", type=_FILE, envvar="MARBLEOPS_CONFIG", help="Configuration file of the reconciler."
    )
    target = click.option("--target", metavar="NAME", help="Which target. Default: the only one.")
    return config(target(function))


def trust_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :class:`TrustOptions` and hand them to *function* as ``trust``."""
    options = [
        click.option(
            "--coordinator",
            metavar="HOST:PORT",
            envvar="MARBLEOPS_COORDINATOR",
            help="Client address of the Coordinator.",
        ),
        click.option(
            "--era", type=_FILE, envvar="MARBLEOPS_ERA", help="Expected Coordinator build (era JSON)."
        ),
        click.option(
            "--anchor",
            type=_FILE,
            envvar="MARBLEOPS_ANCHOR",
            help="Root certificate of a simulation platform; needs --insecure-simulation.",
        ),
        click.option(
            "--insecure-simulation",
            is_flag=True,
            help="Accept quotes of the simulation platform. No hardware protects it.",
        ),
        click.option("--root", metavar="SHA256", help="Fingerprint that the Coordinator's root must have."),
        config_options,
    ]

    @wraps(function)
    def with_trust(**values: Any) -> Any:
        names = [one.name for one in fields(TrustOptions)]
        trust = TrustOptions(**{name: values.pop(name) for name in names})
        return function(trust=trust, **values)

    decorated: Callable[..., Any] = with_trust
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def repository_option(function: F) -> F:
    """Add ``-C/--repository``: the Git work tree to read."""
    return click.option(
        "-C",
        "--repository",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        help="Git work tree to read. Default: the current folder.",
    )(function)


def path_option(function: F) -> F:
    """Add ``--path``: where the manifest lives in the repository."""
    return click.option(
        "--path",
        "manifest_path",
        metavar="PATH",
        help="Manifest's path in the repository. Default: git config marbleops.path.",
    )(function)
