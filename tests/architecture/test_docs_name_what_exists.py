"""Docs that name a file of the project name one that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
NAMED = re.compile(
    r"`((?:tests|docs|conformance|marbleops|coordinator|reconciler|schemas|tools|bench|fuzz)/[A-Za-z0-9_./-]+)`"
)
LINKED = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """Each path in back-quotes, and each relative link, leads somewhere."""
    text = page.read_text()

    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    missing += [link for link in LINKED.findall(text) if not (page.parent / link).exists()]

    assert not missing
