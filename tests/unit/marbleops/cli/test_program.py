"""The program as a whole: verbs, help, exit codes, formats. Nothing here starts a process."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING

import click
import pytest

from marbleops.cli.exits import MEANINGS, Exit
from marbleops.cli.lazy import VERBS
from marbleops.cli.main import cli, run

if TYPE_CHECKING:
    from collections.abc import Iterator

READY = list(VERBS)


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from commands(child)


@pytest.mark.parametrize("verb", READY)
def test_table_and_command_agree(verb: str) -> None:
    """The help page is written from the table alone: its summary is the command's own first line."""
    module = import_module(f"marbleops.cli.{VERBS[verb].module}")
    command = getattr(module, VERBS[verb].attribute)
    assert isinstance(command, click.Command)
    assert command.help is not None
    assert command.help.splitlines()[0] == VERBS[verb].summary


@pytest.mark.parametrize("verb", READY)
def test_every_command_takes_output_after_the_verb(verb: str) -> None:
    """``-o json`` works on every command, wherever it stands."""
    context = click.Context(cli)
    found = cli.get_command(context, verb)
    assert found is not None
    for command in commands(found):
        assert any("--output" in parameter.opts for parameter in command.params), command.name


def test_exit_codes_are_all_explained() -> None:
    """Every code of the enum has a meaning, and no two share a number."""
    assert set(MEANINGS) == set(Exit)
    assert len({int(code) for code in Exit}) == len(Exit)


def test_help_lists_verbs_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` is complete without importing one verb."""
    assert run(["--help"]) == Exit.OK
    page = capsys.readouterr().out
    assert all(f"  {verb} " in page for verb in VERBS)
    assert "Exit codes:" in page
    assert all(str(int(code)) in page for code in Exit)


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo is answered with the verb that was meant and where to look."""
    assert run(["verfiy"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert "did you mean 'verify'?" in error
    assert "next: marbleops --help" in error


def test_usage_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``-o json`` an error is a JSON object on standard output, with stable keys."""
    assert run(["-o", "json", "digest"]) == Exit.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "exitCode", "reason", "message", "where", "next", "details"}
    assert (error["code"], error["exitCode"]) == ("usage", 2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell gets a script that calls us back."""
    assert run(["completion", shell]) == Exit.OK
    script = capsys.readouterr().out
    assert "_MARBLEOPS_COMPLETE" in script
    assert "marbleops" in script


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints one line."""
    assert run(["--version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("marbleops ")
