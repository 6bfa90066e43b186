"""The program ``marbleops``: finds the verb, runs it, and turns every outcome into an exit code."""

from __future__ import annotations

import gc
import sys
from itertools import pairwise

import click

from marbleops.cli.exits import Exit
from marbleops.cli.lazy import LazyGroup
from marbleops.cli.marblerun.options import add_client_flags
from marbleops.cli.options import Settings, output_option

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"marbleops {version('marbleops')}")
        ctx.exit(Exit.OK)


@click.group(cls=LazyGroup, context_settings=_CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the version.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Keep a confidential service mesh in the state that signed Git commits describe.

    Every verb takes -o json for a machine-readable answer and --help for its own page.
    """
    ctx.ensure_object(Settings)


cli.params.append(output_option())
add_client_flags(cli, hidden=True)  # MarbleRun's global flags may stand before the verb


def run(arguments: list[str]) -> int:
    """Run the command line *arguments* and return the exit code."""
    settings = Settings()
    try:
        outcome = cli.main(args=arguments, prog_name="marbleops", standalone_mode=False, obj=settings)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("\nmarbleops: interrupted\n")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.OK
    except click.ClickException as error:
        if _asks_for_json(arguments):
            settings.output = "json"  # it may stand behind the word that stopped the parser
        elif isinstance(error, click.exceptions.NoArgsIsHelpError):
            sys.stderr.write(error.format_message() + "\n")
            return Exit.USAGE
        return _report(_usage(error), settings)
    except Exception as error:  # noqa: BLE001 - one of the two outermost loops: every error becomes an exit code
        return _report(error, settings)
    return int(outcome) if isinstance(outcome, int) else Exit.OK


def _asks_for_json(arguments: list[str]) -> bool:
    """Look for ``-o json`` in all its spellings, up to ``--``."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = pairwise(ours)
    return any(word in {"--output=json", "-ojson", "-o=json"} for word in ours) or any(
        name in {"-o", "--output"} and value == "json" for name, value in pairs
    )


def _usage(error: click.ClickException) -> Exception:
    from marbleops.cli.errors import UsageProblem

    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context) and context.command.hidden and context.parent is not None:
        context = context.parent  # people know it by the group's name
    command = context.command_path if isinstance(context, click.Context) else "marbleops"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return UsageProblem("no command given", next_step=f"{command} --help")
    lines = (line.strip() for line in error.format_message().splitlines())
    return UsageProblem(" ".join(lines), next_step=f"{command} --help")


def _report(error: Exception, settings: Settings) -> int:
    from marbleops.cli.errors import translate
    from marbleops.cli.output import Printer

    failure = translate(error)
    as_json = settings.output == "json"
    Printer(as_json=as_json, stream=sys.stdout if as_json else sys.stderr).failure(failure)
    return failure.exit_code


def main() -> None:
    """Enter from the console script."""
    code = run(sys.argv[1:])
    gc.freeze()  # a tenth of a short command would go into looking through memory that is given back anyway
    sys.exit(code)


if __name__ == "__main__":
    main()
