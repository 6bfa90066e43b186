"""The list of invariants and the tests that claim to hold them belong together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "invariants.md").read_text()
ROWS = re.findall(r"^\| (INV-[A-Z]+) \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
CLAIM = re.compile(r"INV-[A-Z]+")


@pytest.mark.parametrize(("name", "held_by"), ROWS)
def test_held_by_tests_that_exist(name: str, held_by: str) -> None:
    """Each test named is a file, and a function in it where one is named."""
    for file, _, function in re.findall(r"`([^`:]+)(::)?([a-z0-9_]*)`", held_by):
        text = (ROOT / file).read_text()
        assert not function or f"def {function}(" in text, f"{name}: {file} has no {function}"


def test_every_claim_is_listed() -> None:
    """A test that says it holds an invariant says one of the list; each stands there once."""
    listed = [name for name, _ in ROWS]
    claimed = {
        claim
        for folder in ("e2e", "integration", "unit")
        for file in (ROOT / "tests" / folder).rglob("*.py")
        for claim in CLAIM.findall(file.read_text())
    }
    assert len(set(listed)) == len(listed) > 10
    assert claimed <= set(listed)
