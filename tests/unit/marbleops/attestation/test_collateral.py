"""The collateral document: exact texts, strict members, own error."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation import limits
from marbleops.attestation.collateral import Collateral, CollateralError

GOOD = smith.collateral()
DOCUMENT: dict[str, Any] = json.loads(GOOD.to_json())


def test_round_trip() -> None:
    """Reading what was written gives the same object, with and without the optional chain."""
    with_chain = dataclasses.replace(GOOD, pck_certificate_chain="chain")

    assert Collateral.from_json(GOOD.to_json()) == GOOD
    assert Collateral.from_json(with_chain.to_json().encode()) == with_chain


def test_texts_are_kept_to_the_byte() -> None:
    """Signed texts survive as they are, whatever they are."""
    text = '{ "b" : 1,\n"a": "\u00e9" }'

    assert Collateral.from_json(json.dumps(DOCUMENT | {"tcb_info": text})).tcb_info == text


def test_terminating_nul_is_dropped() -> None:
    """Texts that come from C structures end in NUL (attestation.md 2.7)."""
    assert Collateral.from_json(json.dumps(DOCUMENT | {"tcb_info": GOOD.tcb_info + "\0"})) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": ""},
        {"tcb_info": None},
        {"tcb_info": {}},
        {"root_ca_crl": "zz"},
        {"pck_crl": 1},
        {"tcb_info": "\ud800"},
        {"tcb_info_signature": "00" * 65},
        {"tcb_info": "x" * (limits.MAX_SIGNED_JSON_BYTES + 1)},
        {"pck_certificate_chain": 1},
    ],
)
def test_misshapen_members(change: dict[str, Any]) -> None:
    """A member that is unknown, missing, too long or of another type is refused."""
    with pytest.raises(CollateralError):
        Collateral.from_json(json.dumps(DOCUMENT | change))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", b"\xff", '{"tcb_info":"","tcb_info":""}', "[" * 200_000]
)
def test_not_a_document(text: str | bytes) -> None:
    """Text that is not one JSON object is refused."""
    with pytest.raises(CollateralError):
        Collateral.from_json(text)


def test_too_long() -> None:
    """The document's length is limited before it is parsed."""
    with pytest.raises(CollateralError, match="longer"):
        Collateral.from_json(" " * (limits.MAX_COLLATERAL_BYTES + 1))


@given(st.binary(max_size=300) | st.text(max_size=300))
@settings(max_examples=40, deadline=None)
def test_arbitrary_input(raw: bytes | str) -> None:
    """Arbitrary input raises the parser's own error."""
    with contextlib.suppress(CollateralError):
        Collateral.from_json(raw)
