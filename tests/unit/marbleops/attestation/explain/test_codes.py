"""Codes, the words that commands print for them, and the page in the docs are one thing."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.explain.codes import CODES
from marbleops.attestation.verdict import Code

ROOT = Path(__file__).resolve().parents[5]
PAGE = (ROOT / "docs" / "attestation-codes.md").read_text()
SECTIONS = dict(re.findall(r"^### ([A-Z_0-9]+)\n\n(.*?)(?=\n##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
SHOWN = re.compile(r"\* Shown by `([^`]+)`(?:, scenario `([^`]+)`)?")
MADE = {one.name: one.code for one in smith.scenarios()} | {one.name: one.code for one in tdsmith.scenarios()}
REFUSALS = [code for code in Code if code is not Code.OK]


def test_every_code_is_in_the_table_and_on_the_page() -> None:
    """In the same order, none twice, none too many."""
    assert set(CODES) == set(Code)
    assert list(SECTIONS) == [code.value for code in REFUSALS]
    assert PAGE.count("\n### ") == len(REFUSALS)


@pytest.mark.parametrize("code", REFUSALS)
def test_the_page_says_what_the_commands_say(code: Code) -> None:
    """Meaning, cause, what to do; and a test that is there and is about this code."""
    about, section = CODES[code], SECTIONS[code.value]

    for words in (about.meaning, f"* How it comes about: {about.cause}", f"* What to do: {about.to_do}"):
        assert words in section.splitlines()
        assert words.endswith(".")
    shown = SHOWN.search(section)
    assert shown is not None
    source = (ROOT / shown[1]).read_text()
    if shown[2] is not None:
        assert MADE[shown[2]] == code
        assert "scenarios()" in source
    else:
        assert re.search(rf"\b{code}\b", source)


def test_a_key_that_is_no_point() -> None:
    """QUOTE_ATTESTATION_KEY: a quoting enclave may vouch for bytes that are no key at all."""
    quote = smith.raw_quote()
    key, size = bytes(64), int.from_bytes(quote[1012:1014], "little")
    vouched = hashlib.sha256(key + quote[1014 : 1014 + size]).digest()
    forged = smith.patched(smith.resigned(quote, qe={320: vouched}), 500, key)

    verdict = verify_quote(forged, smith.collateral(), anchors=Anchors.simulation(smith.ANCHOR), at=smith.AT)

    assert verdict.code is Code.QUOTE_ATTESTATION_KEY
