"""The parser of evidence: exact on good bytes, and one kind of error on all others."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.quote import parse_evidence, parse_quote
from marbleops.attestation.verdict import Code

QUOTE = smith.raw_quote()


def test_parts_of_a_quote() -> None:
    """The parts lie where attestation.md 1.1 says."""
    quote = parse_quote(QUOTE)

    assert quote.signed == QUOTE[:432]
    assert quote.signature == QUOTE[436:500]
    assert quote.attestation_key == QUOTE[500:564]
    assert quote.qe_report_bytes == QUOTE[564:948]
    assert quote.qe_auth_data == bytes(range(32))
    assert quote.certification_type == 5
    assert quote.certification_data.startswith(b"-----BEGIN CERTIFICATE-----")
    assert quote.qe_report.security_version == 8


@pytest.mark.parametrize(
    "length", [0, 1, 47, 48, 431, 432, 435, 436, 500, 1000, 1012, 1046, 1052, len(QUOTE) - 1]
)
def test_every_truncation_is_truncated(length: int) -> None:
    """A quote that ends early is QUOTE_TRUNCATED wherever it ends."""
    with pytest.raises(RejectedError) as caught:
        parse_quote(QUOTE[:length])

    assert caught.value.code is Code.QUOTE_TRUNCATED


def test_unused_bytes_inside_are_refused() -> None:
    """The signature data must be used to its last byte."""
    size = len(QUOTE) - 436
    longer = QUOTE[:432] + (size + 4).to_bytes(4, "little") + QUOTE[436:] + bytes(4)

    with pytest.raises(RejectedError) as caught:
        parse_quote(longer)

    assert caught.value.code is Code.QUOTE_TRAILING_DATA


@pytest.mark.parametrize(
    ("size", "code"),
    [("02", Code.QUOTE_TRUNCATED), ("01", Code.EVIDENCE_HEADER), ("03", Code.EVIDENCE_HEADER)],
)
def test_golden_header(size: str, code: Code) -> None:
    """The header of marblerun-core 13.5 around ``aabb`` is taken off; with another length it is none."""
    with pytest.raises(RejectedError) as caught:
        parse_evidence(bytes.fromhex(f"0100000002000000{size}00000000000000aabb"))

    assert caught.value.code is code


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_arbitrary_bytes(raw: bytes) -> None:
    """Arbitrary bytes raise the parser's own error and nothing else."""
    with pytest.raises(RejectedError):
        parse_evidence(raw)


@given(offset=st.integers(0, len(QUOTE) - 1), patch=st.binary(min_size=1, max_size=8), wrapped=st.booleans())
@settings(max_examples=75, deadline=None)
def test_mutations(offset: int, patch: bytes, wrapped: bool) -> None:
    """A mutated quote parses or raises the parser's own error."""
    evidence = smith.oe_report(QUOTE) if wrapped else QUOTE
    with contextlib.suppress(RejectedError):
        parse_evidence(smith.patched(evidence, offset, patch))
