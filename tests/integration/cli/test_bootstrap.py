"""``tools/bootstrap`` names what a machine lacks, and notices a ``.venv`` half made or made elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("sh", "sed", "sort", "head", "cat", "dirname", "mkdir", "cp", "env")
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> "$LOG"
[ "$1" = --version ] && echo "Python VERSION"
case "$*" in
  *hashlib*) echo stamp ;;
  *"import pip"*) [ -f "$(dirname "$0")/pip" ]; exit ;;
  *sys.version_info\\ \\<*) exit OLD ;;
  "-m venv "*)
    for folder; do :; done
    mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; : > "$folder/bin/pip" ;;
esac
exit 0
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Give a checkout with nothing but the bootstrap, beside a folder ``bin`` with the barest tools."""
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    (checkout / "tools").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "tools" / "bootstrap", checkout / "tools" / "bootstrap")
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return checkout


def install(machine: Path, *names: str) -> None:
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (machine.parent / "bin" / name).symlink_to(found)


def fake_python(machine: Path, version: str, *, old: bool) -> None:
    script = machine.parent / "bin" / "python3"
    script.write_text(FAKE_PYTHON.replace("VERSION", version).replace("OLD", str(int(old))))
    script.chmod(0o755)


def bootstrap(machine: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "tools/bootstrap", "run"],
        cwd=machine,
        env={"PATH": str(machine.parent / "bin"), "LOG": os.fspath(machine / "python.log")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def asked(machine: Path) -> list[str]:
    return (machine / "python.log").read_text().splitlines()


def test_a_bare_machine_is_told_everything_at_once(machine: Path) -> None:
    """All that is missing in one go, with a line to install it."""
    done = bootstrap(machine)

    assert done.returncode == 1
    for name in ("Python 3.11 or newer", "git 2.34 or newer", "ssh-keygen"):
        assert f"bootstrap: missing: {name}" in done.stderr
    assert "apt-get install python3 python3-venv git openssh-client" in done.stderr
    assert not (machine / ".venv").exists()


def test_an_old_python_is_named_and_not_offered_again(machine: Path) -> None:
    """``apt-get install python3`` would not help whom python3 is too old."""
    install(machine, "git", "ssh-keygen")
    fake_python(machine, "3.10.12", old=True)

    done = bootstrap(machine)

    assert done.returncode == 1
    assert "found Python 3.10.12" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr
    assert "apt-get install python3.11 python3.11-venv" in done.stderr


@pytest.mark.parametrize(
    ("leave", "expected"),
    [
        ("nothing", "-m venv .venv"),
        ("interrupted", "-m venv .venv"),
        ("elsewhere", "-m venv --clear .venv"),
    ],
)
def test_a_venv_is_made_where_none_is_usable(machine: Path, leave: str, expected: str) -> None:
    """None, one without pip (Ctrl-C at the wrong moment), one that came with a moved checkout."""
    install(machine, "git", "ssh-keygen")
    fake_python(machine, "3.12.3", old=False)
    if leave != "nothing":
        (machine / ".venv" / "bin").mkdir(parents=True)
        shutil.copy(machine.parent / "bin" / "python3", machine / ".venv" / "bin" / "python")
    if leave == "elsewhere":
        (machine / ".venv" / "bin" / "pip").touch()
        (machine / ".venv" / ".bootstrapped-in").write_text("/somewhere/else\n")

    done = bootstrap(machine)

    assert done.returncode == 0, done.stderr
    assert expected in asked(machine)
    assert any("--require-hashes" in line for line in asked(machine))
    assert (machine / ".venv" / ".bootstrapped-in").read_text() == f"{machine.resolve()}\n"


def test_a_venv_of_the_users_own_is_never_cleared(machine: Path) -> None:
    """One that the bootstrap did not make carries no stamp: it is used as it is."""
    install(machine, "git", "ssh-keygen")
    fake_python(machine, "3.12.3", old=False)
    (machine / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(machine.parent / "bin" / "python3", machine / ".venv" / "bin" / "python")
    (machine / ".venv" / "bin" / "pip").touch()

    assert bootstrap(machine).returncode == 0
    assert not any("venv" in line.split() for line in asked(machine))
    assert not (machine / ".venv" / ".bootstrapped-in").exists()
