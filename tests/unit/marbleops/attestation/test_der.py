"""The DER reader accepts one encoding of each value, and the PCK extension one shape."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation import der
from marbleops.attestation.pck import parse_pck_extension
from marbleops.attestation.platform.softpki import COMPONENTS, FMSPC, PCE_SVN, sgx_extension

EXTENSION = sgx_extension(smith.SEED)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "expected one element"),
        ("02", "truncated header"),
        ("0202", "truncated contents"),
        ("0280", "length"),
        ("028101ff", "shortest"),
        ("02820001ff", "shortest"),
        ("0285ffffffffff", "length"),
        ("1f0100", "multi-byte"),
        ("020100020100", "expected one element"),
        ("040100", "expected tag"),
    ],
)
def test_refused_encodings(raw: str, message: str) -> None:
    """Indefinite, overlong, truncated and repeated encodings are refused."""
    with pytest.raises(der.DerError, match=message):
        der.read_one(bytes.fromhex(raw), der.INTEGER)


def test_integers() -> None:
    """255 has two octets in DER, and negative or padded integers are refused."""
    assert der.unsigned(der.read_all(bytes.fromhex("020200ff"))[0]) == 255
    for raw in ("0200", "0201ff", "0202007f"):
        with pytest.raises(der.DerError):
            der.unsigned(der.read_all(bytes.fromhex(raw))[0])


def test_booleans() -> None:
    """DER knows one true and one false."""
    assert der.boolean(der.Element(der.BOOLEAN, b"\xff"))
    assert not der.boolean(der.Element(der.BOOLEAN, b"\x00"))
    with pytest.raises(der.DerError):
        der.boolean(der.Element(der.BOOLEAN, b"\x01"))


def test_extension_round_trip() -> None:
    """What the simulation encodes is what the verifier reads."""
    extension = parse_pck_extension(EXTENSION)

    assert extension.components == COMPONENTS
    assert extension.pce_svn == PCE_SVN
    assert extension.fmspc == FMSPC
    assert extension.cpu_svn == bytes(COMPONENTS)
    assert extension.sgx_type == 1


def test_a_missing_or_doubled_member_is_refused() -> None:
    """Every mandatory member is there exactly once."""
    members = der.read_all(der.read_one(EXTENSION, der.SEQUENCE))
    encoded = [bytes([0x30]) + _length(len(member.content)) + member.content for member in members]

    for index in range(5):
        with pytest.raises(der.DerError, match="missing"):
            parse_pck_extension(_sequence(encoded[:index] + encoded[index + 1 :]))
    with pytest.raises(der.DerError, match="twice"):
        parse_pck_extension(_sequence([*encoded, encoded[0]]))
    assert parse_pck_extension(_sequence(encoded[:5])).fmspc == FMSPC


@given(offset=st.integers(0, len(EXTENSION) - 1), value=st.integers(0, 255))
@settings(max_examples=75, deadline=None)
def test_mutated_extensions(offset: int, value: int) -> None:
    """A mutated extension parses or raises the reader's own error."""
    with contextlib.suppress(der.DerError):
        parse_pck_extension(smith.patched(EXTENSION, offset, bytes([value])))


def _length(size: int) -> bytes:
    return (
        bytes([size])
        if size < 0x80
        else bytes([0x82]) + size.to_bytes(2, "big")
        if size > 0xFF
        else bytes([0x81, size])
    )


def _sequence(members: list[bytes]) -> bytes:
    content = b"".join(members)
    return b"\x30" + _length(len(content)) + content
