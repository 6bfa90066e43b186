"""Files that hold evidence are told by what is in them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation.explain.envelope import (
    MAX_FILE_BYTES,
    Envelope,
    EnvelopeError,
    Form,
    open_envelope,
)

QUOTE = smith.raw_quote()
WRAPPED = smith.oe_report(QUOTE)
CERTIFICATE = smith.ANCHOR
ENCODED = base64.b64encode(WRAPPED).decode()
PEM = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(CERTIFICATE) + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("content", "form", "evidence"),
    [
        (QUOTE, Form.RAW, QUOTE),  # it has PEM inside, and is none
        (WRAPPED + b"", Form.RAW, WRAPPED),
        (b"", Form.RAW, b""),
        (f"0x{QUOTE.hex()}\n".encode(), Form.HEX, QUOTE),
        (b" " + b"\n".join((QUOTE.hex()[:64].encode(), QUOTE.hex()[64:].upper().encode())), Form.HEX, QUOTE),
        (base64.encodebytes(QUOTE), Form.BASE64, QUOTE),
        (
            json.dumps({"status": "success", "data": {"Cert": "c", "Quote": ENCODED}}).encode(),
            Form.ANSWER,
            WRAPPED,
        ),
        (json.dumps({"cert": "c", "quote": ENCODED}).encode(), Form.ANSWER, WRAPPED),
    ],
)
def test_forms(content: bytes, form: Form, evidence: bytes) -> None:
    """Raw, hexadecimal, Base64, and both versions of the answer to /quote."""
    chain = "c" if form is Form.ANSWER else None
    assert open_envelope(content) == Envelope(form=form, evidence=evidence, vouched_chain=chain)


def test_certificates() -> None:
    """In DER, and the first of a PEM file."""
    assert open_envelope(CERTIFICATE) == Envelope(form=Form.DER, certificate=CERTIFICATE)
    assert open_envelope(PEM + PEM) == Envelope(form=Form.PEM, certificate=CERTIFICATE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(MAX_FILE_BYTES + 1), "longer than"),
        (b"abc", "not whole"),
        (b"0x0x00", "not whole"),
        (b"AAAAZ", "not Base64"),
        (b'{"data": {"Quote": null}}', "no quote"),
        (b'{"data": {"Quote": "*"}}', "the quote is not Base64"),
        (b"{", "begins as JSON"),
        (b"{" * 50_000, "begins as JSON"),
        (b'{"data": []}', "no quote"),
        (b'{"data": 7}', "no quote"),
        (PEM[:-30], "no end"),
    ],
)
def test_what_is_not_what_it_begins_as(content: bytes, words: str) -> None:
    """It is never tried as something else."""
    with pytest.raises(EnvelopeError, match=words):
        open_envelope(content)


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([b"", b"{", b"0x", b"0\x82"]))
def test_arbitrary_files(content: bytes, begin: bytes) -> None:
    """An envelope, or the one error."""
    try:
        found = open_envelope(begin + content)
    except EnvelopeError:
        return
    assert not (found.evidence and found.certificate)
