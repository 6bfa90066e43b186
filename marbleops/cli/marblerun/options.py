"""MarbleRun's flags, with its letters: the global ones, those that say who one is, and ``-o FILE``.

The global flags may stand before the verb or after it, as in MarbleRun, so each command carries them and they
meet in :class:`~marbleops.cli.options.Settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.options import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ERA_FILE = Path("era-config.json")
_VARIABLES = {"era_config": "MARBLEOPS_ERA", "anchor": "MARBLEOPS_ANCHOR"}
"""The same variables as for ``verify``; a flag wins over them."""
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What the global flags say: where trust in the Coordinator comes from."""

    coordinator_cert: Path
    era_config: Path | None = None
    insecure: bool = False
    accepted_tcb_statuses: tuple[str, ...] | None = None
    accepted_advisories: tuple[str, ...] | None = None
    nonce: str | None = None
    save_sgx_quote: Path | None = None
    anchor: Path | None = None
    insecure_simulation: bool = False
    collateral: Path | None = None


def client_options() -> ClientOptions:
    """Return the global flags of the running command, with their defaults."""
    context = click.get_current_context()
    given = dict(context.ensure_object(Settings).client)
    given.setdefault("coordinator_cert", default_cache())
    for name, variable in _VARIABLES.items():
        if variable in os.environ:
            given.setdefault(name, Path(os.environ[variable]))
    if ERA_FILE.is_file():
        given.setdefault("era_config", ERA_FILE)
    known = {field.name for field in fields(ClientOptions)}
    return ClientOptions(**{name: value for name, value in given.items() if name in known})


def default_cache() -> Path:
    """Return where MarbleRun keeps the certificate of the Coordinator it verified last."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "marblerun" / "coordinator-cert.pem"


def add_client_flags(command: click.Command, *, hidden: bool = False) -> None:
    """Give *command* and its subcommands the global flags, once."""
    if not any("--coordinator-cert" in parameter.opts for parameter in command.params):
        command.params.extend(_client_flags(hidden=hidden))
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_client_flags(child)


def _client_flags(*, hidden: bool) -> list[click.Option]:
    def flag(*names: str, words: str, **more: Any) -> click.Option:
        more["hidden"] = hidden or more.get("hidden", False)
        return click.Option(names, expose_value=False, callback=_remember, help=words, default=None, **more)

    return [
        flag("--era-config", type=EXISTING, words="Expected Coordinator build. Default: ./era-config.json."),
        flag(
            "--coordinator-cert",
            type=FILE,
            words="Where the verified certificate is kept. Default: under ~/.config/marblerun.",
        ),
        flag("-i", "--insecure", is_flag=True, words="Do not verify the Coordinator. Proves nothing."),
        flag(
            "--accepted-tcb-statuses",
            metavar="LIST",
            multiple=True,
            words="Comma-separated TCB statuses to accept. Default: UpToDate,SWHardeningNeeded.",
        ),
        flag(
            "--accepted-advisories",
            metavar="LIST",
            multiple=True,
            words="Comma-separated Intel advisories to accept with SWHardeningNeeded. Default: all.",
        ),
        flag(
            "--nonce", metavar="TEXT", words="Have the quote made over this text. Default: 32 random bytes."
        ),
        flag("--save-sgx-quote", type=FILE, words="Write the Coordinator's quote to this file."),
        flag("--collateral", type=EXISTING, words="Collateral (JSON). Default: ask the Coordinator for it."),
        flag(
            "--anchor",
            type=EXISTING,
            words="Root certificate of a simulation platform; needs --insecure-simulation.",
        ),
        flag(
            "--insecure-simulation",
            is_flag=True,
            words="Accept quotes of the simulation platform. No hardware protects it.",
        ),
        flag("-n", "--namespace", metavar="NAME", hidden=True, words="Ignored: Kubernetes is not asked."),
    ]


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    # A flag that is not given again after the verb must not undo the one before it.
    if value in {None, False, ()} or parameter.name is None:
        return
    if parameter.name.startswith("accepted_"):
        value = tuple(word.strip() for part in value for word in part.split(",") if word.strip())
    ctx.ensure_object(Settings).client[parameter.name] = value


def file_option(words: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Add MarbleRun's ``-o FILE``; the words ``json`` and ``text`` choose the format instead."""
    return click.option(
        "-o",
        "--output",
        "output",
        metavar="FILE|json|text",
        multiple=True,
        is_eager=True,
        callback=_required_file if required else _file,
        help=f"{words} The words json and text choose the format of the answer (a file: ./json).",
    )


def _file(ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Path | None:
    files = [value for value in values if value not in {"json", "text"}]
    for value in values:
        if value not in files:
            ctx.ensure_object(Settings).output = value
    if "-" in files:
        raise click.BadParameter("'-' is not standard output here: leave -o out to print, or write ./-")
    if len(files) > 1:
        raise click.BadParameter("more than one file")
    return Path(files[0]) if files else None


def _required_file(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Path:
    file = _file(ctx, parameter, values)
    if file is None and not ctx.resilient_parsing:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    return file or Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """Where a person's key lies: PEM files, or a PKCS#11 token (which is refused, honestly)."""

    cert: Path | None = None
    key: Path | None = None
    pkcs11_config: Path | None = None
    pkcs11_key_id: str | None = None
    pkcs11_key_label: str | None = None
    pkcs11_cert_id: str | None = None
    pkcs11_cert_label: str | None = None

    @property
    def wants_pkcs11(self) -> bool:
        """Tell whether any flag of a token is given."""
        names = (field.name for field in fields(self) if field.name.startswith("pkcs11"))
        return any(getattr(self, name) is not None for name in names)


def _auth(function: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    @wraps(function)
    def with_auth(**values: Any) -> Any:
        names = {field.name for field in fields(AuthOptions)}
        auth = AuthOptions(**{name: values.pop(name) for name in names & set(values)})
        return function(auth=auth, **values)

    decorated: Callable[..., Any] = with_auth
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _token(kind: str) -> list[Callable[..., Any]]:
    return [
        click.option(f"--pkcs11-{kind}-{by}", metavar="TEXT", hidden=True, help="Not supported yet.")
        for by in ("id", "label")
    ]


_TOKEN_CONFIG = click.option("--pkcs11-config", type=FILE, help="PKCS#11 token: not supported yet.")


def user_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-c`` and ``-k``, which say as which user of the manifest one speaks, as ``auth``."""
    return _auth(
        function,
        [
            click.option("-c", "--cert", type=EXISTING, help="Certificate of a user in the manifest (PEM)."),
            click.option("-k", "--key", type=EXISTING, help="The user's private key (PEM)."),
            _TOKEN_CONFIG,
            *_token("key"),
            *_token("cert"),
        ],
    )


def recovery_key_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-k``, a private recovery key, as ``auth``."""
    key = click.option("-k", "--key", type=EXISTING, help="Private recovery key (PEM, RSA).")
    return _auth(function, [key, _TOKEN_CONFIG, *_token("key")])


def recovery_file_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-r FILE``: where encrypted recovery secrets are saved."""
    return click.option(
        "-r",
        "--recoverydata",
        type=FILE,
        help="File for the recovery secrets. Default: they are printed.",
    )(function)
