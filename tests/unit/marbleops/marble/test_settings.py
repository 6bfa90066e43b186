"""A marble's settings and what becomes of the manifest's parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from marbleops.marble.activate import Parameters
from marbleops.marble.run import CommandError, prepare
from marbleops.marble.settings import MarbleSettings, SettingsError

HERE = Path("/work")


def test_defaults_are_marbleruns() -> None:
    """Only the type must be given."""
    settings = MarbleSettings.from_environ({"EDG_MARBLE_TYPE": "a"}, directory=HERE)
    assert str(settings.coordinator) == "localhost:2001"
    assert (settings.dns_names, settings.uuid_file) == (("localhost",), HERE / "uuid")
    assert settings.coordinator_root is None


def test_every_variable_is_used() -> None:
    """Names are split on commas, EDG_CWD moves the UUID, a port may be left out."""
    environ = {
        "EDG_MARBLE_TYPE": "a",
        "EDG_MARBLE_COORDINATOR_ADDR": "coordinator.example",
        "EDG_MARBLE_DNS_NAMES": "a, b,10.0.0.1",
        "EDG_CWD": "/data",
        "EDG_MARBLE_COORDINATOR_ROOT": "root.pem",
    }
    settings = MarbleSettings.from_environ(environ, directory=HERE)
    assert str(settings.coordinator) == "coordinator.example:2001"
    assert settings.dns_names == ("a", "b", "10.0.0.1")
    assert (settings.uuid_file, settings.coordinator_root) == (Path("/data/uuid"), Path("root.pem"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDG_MARBLE_TYPE", ""),
        ("EDG_MARBLE_COORDINATOR_ADDR", "a:b"),
        ("EDG_MARBLE_DNS_NAMES", "a,,b"),
        ("EDG_MARBLE_DNS_NAMES", "ü"),
    ],
)
def test_wrong_values_are_named(name: str, value: str) -> None:
    """The error says which variable it is about."""
    with pytest.raises(SettingsError, match=name):
        MarbleSettings.from_environ({"EDG_MARBLE_TYPE": "a", name: value}, directory=HERE)


def test_the_manifest_wins() -> None:
    """Its variables overwrite, its Argv replaces the command unless it is empty; values stay bytes."""
    given = Parameters(files={}, env={"A": b"\xff"}, argv=())
    program = prepare(given, command=("x", "y"), environ={"A": "old", "B": "ü"})
    assert program.argv == ("x", "y")
    assert program.env == {b"A": b"\xff", b"B": "ü".encode()}
    named = Parameters(files={}, env={}, argv=("z",))
    assert prepare(named, command=("x",), environ={}).argv == ("z",)


@pytest.mark.parametrize(
    ("env", "argv"),
    [({}, ()), ({"": b""}, ("x",)), ({"A=B": b""}, ("x",)), ({"A": b"\0"}, ("x",)), ({}, ("x\0",))],
)
def test_what_no_process_can_be_given(env: dict[str, bytes], argv: tuple[str, ...]) -> None:
    """Impossible names, NUL bytes and an empty command are refused before anything is written."""
    with pytest.raises(CommandError):
        prepare(Parameters(files={}, env=env, argv=argv), command=(), environ={})


def test_secrets_are_not_shown() -> None:
    """Neither parameters nor program print what they hold."""
    given = Parameters(files={"f": b"hidden"}, env={"A": b"hidden"}, argv=("x",))
    assert "hidden" not in repr(given) + repr(prepare(given, command=(), environ={}))
