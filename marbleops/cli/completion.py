"""``completion``: the script that makes a shell complete verbs and options."""

from __future__ import annotations

import click

from marbleops.cli.exits import Exit
from marbleops.cli.output import printer

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MARBLEOPS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    \b
      bash  marbleops completion bash > ~/.local/share/bash-completion/completions/marbleops
      zsh   marbleops completion zsh > "${fpath[1]}/_marbleops"
      fish  marbleops completion fish > ~/.config/fish/completions/marbleops.fish
    """  # noqa: D301 - click knows by \b that this block is not to be wrapped
    from click.shell_completion import get_completion_class

    from marbleops.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click completes all three"
    # ``source()`` would start the shell to learn its version; the template needs only the names.
    script = kind.source_template % kind(cli, {}, "marbleops", _VARIABLE).source_vars()
    out = printer()
    out.document({"shell": shell, "script": script})
    out.line(script.rstrip())
    return Exit.OK
