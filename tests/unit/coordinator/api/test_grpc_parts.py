"""The parts of the gRPC server that need no connection."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.api.grpc import FrameBudget, GrpcError, parse_timeout, percent_encode


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_messages_survive_percent_encoding(message: str) -> None:
    """Whatever the text, the header is printable ASCII and decodes to the text."""
    encoded = percent_encode(message)
    assert all(" " <= character <= "~" for character in encoded)
    assert unquote_to_bytes(encoded) == message.encode("utf-8", "replace")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1S", 1.0), ("2M", 120.0), ("1H", 3600.0), ("5m", 0.005), ("99999999u", 99.999999), ("7n", 7e-9)],
)
def test_timeouts(text: str, seconds: float) -> None:
    """All six units are read."""
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", "\u0661S"])
def test_malformed_timeouts(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(GrpcError):
        parse_timeout(text)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 30))
def test_frames_are_counted_however_they_are_cut(payloads: list[bytes], cut: int) -> None:
    """The budget allows exactly its number of frames, in whatever pieces the bytes arrive."""
    stream = bytes(24) + b"".join(len(one).to_bytes(3) + bytes(6) + one for one in payloads)
    pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    enough = FrameBudget(frames=len(payloads), octets=len(stream))
    assert all(enough.spend(piece) for piece in pieces)
    if payloads:
        short = FrameBudget(frames=len(payloads) - 1, octets=len(stream))
        assert not all(short.spend(piece) for piece in pieces)
    tight = FrameBudget(frames=len(payloads), octets=len(stream) - 1)
    assert not all(tight.spend(piece) for piece in pieces)
