"""A click group that imports a verb's module only when that verb is used.

The whole stack costs half a second to import (architecture, decision 12), so ``marbleops --help`` prints the
summaries of the table below and imports none of the modules. A test keeps summaries and commands together.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

from marbleops.cli.marblerun.options import add_client_flags
from marbleops.cli.options import Settings, add_output_option

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a command lives, and its line in the help page."""

    section: str
    module: str
    attribute: str
    summary: str
    marblerun: bool = False
    """Whether it takes the global flags of MarbleRun's command line."""


_WRITE, _APPROVE, _WATCH, _RUN = "Write", "Approve", "Watch and check", "Run"
_MARBLERUN = "As in MarbleRun"

VERBS: dict[str, Verb] = {
    "lint": Verb(_WRITE, "manifests", "lint", "Check manifests as strictly as the Coordinator does."),
    "digest": Verb(_WRITE, "manifests", "digest", "Print the digest that approvals of a manifest name."),
    "plan": Verb(_WRITE, "plan", "plan", "Show what a manifest would change and who must approve it."),
    "approve": Verb(_APPROVE, "approve", "approve", "Approve the manifest of commit REV with a signed tag."),
    "statement": Verb(
        _APPROVE,
        "statement",
        "statement",
        "Print the exact text that a detached approval of MANIFEST signs, or sign it.",
    ),
    "hooks": Verb(_APPROVE, "hooks", "hooks", "Install the commit hook that asks for your approval."),
    "status": Verb(
        _WATCH,
        "status",
        "status",
        "Show what each target of the reconciler is doing, or where the Coordinator at HOST:PORT stands.",
        marblerun=True,
    ),
    "wait": Verb(_WATCH, "status", "wait", "Wait until the manifest of commit REV is enforced or refused."),
    "verify": Verb(_WATCH, "verify", "verify", "Check a running deployment as its customer."),
    "collateral": Verb(
        _WATCH,
        "collateral",
        "collateral",
        "Fetch, carry and watch what Intel and AMD publish about platforms.",
    ),
    "apply": Verb(_WATCH, "apply", "apply", "Send a manifest and its evidence to a Coordinator."),
    "target": Verb(_WATCH, "target", "target", "Decide what a reconciler may not decide alone."),
    "attest": Verb(
        _WATCH, "attest.command", "attest", "Verify evidence of an enclave, explain it, look ahead."
    ),
    "manifest": Verb(
        _MARBLERUN,
        "marblerun.manifests",
        "manifest",
        "Set, show and update the manifest of a Coordinator, as MarbleRun's command line does.",
        marblerun=True,
    ),
    "certificate": Verb(
        _MARBLERUN,
        "marblerun.certificate",
        "certificate",
        "Save the certificates that the Coordinator's marbles chain to.",
        marblerun=True,
    ),
    "secret": Verb(
        _MARBLERUN,
        "marblerun.secret",
        "secret",
        "Read secrets of the manifest, and upload user-defined ones.",
        marblerun=True,
    ),
    "recover": Verb(
        _MARBLERUN,
        "marblerun.recover",
        "recover",
        "Upload a recovery secret, decrypted and signed with your recovery key.",
        marblerun=True,
    ),
    "recover-with-signature": Verb(
        _MARBLERUN,
        "marblerun.recover",
        "recover_with_signature",
        "Recover with keys that never meet the Coordinator's network.",
        marblerun=True,
    ),
    "package-info": Verb(
        _MARBLERUN,
        "marblerun.package_info",
        "package_info",
        "Print the PackageProperties of an enclave: an EGo, Gramine or Occlum file, or its folder.",
        marblerun=True,
    ),
    "coordinator": Verb(_RUN, "run", "coordinator", "Run the Coordinator."),
    "reconciler": Verb(_RUN, "run", "reconciler", "Run the reconciler."),
    "marble": Verb(_RUN, "run", "marble", "Run a program as a marble."),
    "simulation": Verb(_RUN, "simulation", "simulation", "Make and use an insecure simulation platform."),
    "demo": Verb(_RUN, "demo.command", "demo", "Play the whole path on this machine."),
    "completion": Verb(_RUN, "completion", "completion", "Print the completion script of SHELL."),
}


class LazyGroup(click.Group):
    """The top group: lists its verbs from the table and loads one on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the verb's module and return its command; None for an unknown verb."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command = getattr(import_module(f"marbleops.cli.{verb.module}"), verb.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"marbleops.cli.{verb.module}.{verb.attribute} is no command")
        add_output_option(command)
        if verb.marblerun:
            add_client_flags(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs by section without importing them."""
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            rows = [(name, verb.summary) for name, verb in VERBS.items() if verb.section == section]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=24)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of exit codes."""
        from marbleops.cli.exits import exit_table

        with formatter.section("Exit codes"):
            formatter.write_dl(exit_table(), col_max=14)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the verb; an unknown one names the nearest."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(_unknown(args[0], tuple(VERBS)))
        given = ctx.ensure_object(Settings).client
        if given and args and args[0] in VERBS and not VERBS[args[0]].marblerun:
            flag = "--" + next(iter(given)).replace("_", "-")
            ctx.fail(f"{flag} before the verb is for MarbleRun's verbs; {args[0]!r} is none of them")
        return super().resolve_command(ctx, args)


_ELSEWHERE = {
    "version": "say marbleops --version",
    **dict.fromkeys(("install", "uninstall", "check", "precheck"), "Kubernetes is not supported yet"),
}
"""MarbleRun's verbs that we have not."""


def _unknown(word: str, verbs: Sequence[str]) -> str:
    if word in _ELSEWHERE:
        return f"no such command {word!r}: {_ELSEWHERE[word]}"
    from difflib import get_close_matches

    near = get_close_matches(word, verbs, n=1)
    return f"no such command {word!r}" + (f"; did you mean {near[0]!r}?" if near else "")
