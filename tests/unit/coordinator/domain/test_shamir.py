"""Shamir's sharing: MarbleRun's vector, the field, and every threshold property."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain.shamir import combine, invert, multiply, split
from tests.fakes.small_world import FakeEntropy

SECRET = bytes(range(32))
GOLDEN = [
    bytes.fromhex("b24d9519c74ca5beed7d93deff0e847e1f9b4580b9e045cd08c7c327f96bb5482d"),
    bytes.fromhex("6fc929d1fcad924194fe68a1c22d5e98b041e1b1c99b6c1d0a9a30ad802383ec4d"),
    bytes.fromhex("85a6d7eb6a2b18f1b86b25835a834ee490512735f044d01ff9e29c2dac8bfd2aad"),
]


def test_shares_of_marblerun_combine() -> None:
    """Any two shares that the real Coordinator made give its secret (marblerun-core 13.4); so do three."""
    for shares in (*itertools.permutations(GOLDEN, 2), tuple(GOLDEN)):
        assert combine(shares) == SECRET


def test_field() -> None:
    """The AES field: its known product, and an inverse for everything but 0."""
    assert multiply(0x57, 0x83) == 0xC1
    assert invert(0) == 0
    assert all(multiply(a, invert(a)) == 1 for a in range(1, 256))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_the_threshold_decides(data: st.DataObject) -> None:
    """Any threshold shares give the secret, one fewer does not."""
    secret = data.draw(st.binary(min_size=16, max_size=16))
    count = data.draw(st.integers(2, 7))
    threshold = data.draw(st.integers(2, count))
    entropy = FakeEntropy(label=data.draw(st.text(max_size=3)))

    shares = split(secret, shares=count, threshold=threshold, random=entropy.bytes)

    chosen = data.draw(st.permutations(shares))
    assert combine(chosen[:threshold]) == secret
    if threshold > 2:
        assert combine(chosen[: threshold - 1]) != secret
    assert sorted(share[-1] for share in shares) == list(range(1, count + 1))


@pytest.mark.parametrize(("shares", "threshold"), [(2, 1), (1, 1), (2, 3), (256, 2)])
def test_numbers_out_of_range(shares: int, threshold: int) -> None:
    """There is no sharing with such numbers."""
    with pytest.raises(ValueError, match="sharing"):
        split(SECRET, shares=shares, threshold=threshold, random=FakeEntropy().bytes)


@pytest.mark.parametrize(
    "shares",
    [GOLDEN[:1], [GOLDEN[0], GOLDEN[0]], [GOLDEN[0], GOLDEN[1][:-1]], [b"\1", b"\2"], [b"a\0", b"b\1"]],
)
def test_shares_that_do_not_go_together(shares: list[bytes]) -> None:
    """One share, the same twice, other lengths, the place of the secret itself: refused."""
    with pytest.raises(ValueError, match="share"):
        combine(shares)


def test_an_empty_secret() -> None:
    """Nothing cannot be shared."""
    with pytest.raises(ValueError, match="empty"):
        split(b"", shares=2, threshold=2, random=FakeEntropy().bytes)
