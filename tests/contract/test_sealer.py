"""What a Sealer is: bound to key, policy and name; silent about everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.adapters.system import SystemEntropy
from coordinator.errors import ForeignSealError, SealError
from coordinator.ports import Sealer, SealPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTERS: dict[str, Callable[[bytes, bytes], Sealer]] = {
    "aes-gcm": lambda unique, product: AesGcmSealer(
        SealingKeys(unique=unique, product=product), SystemEntropy()
    ),
}
POLICIES = tuple(SealPolicy)


@pytest.fixture(params=sorted(ADAPTERS))
def make(request: pytest.FixtureRequest) -> Callable[[bytes, bytes], Sealer]:
    return ADAPTERS[request.param]


@pytest.mark.parametrize("policy", POLICIES)
def test_round_trip(make: Callable[[bytes, bytes], Sealer], policy: SealPolicy) -> None:
    """What is sealed can be unsealed, and equal values look different."""
    sealer = make(b"u" * 32, b"p" * 32)
    first, second = (sealer.seal(b"secret", b"name", policy=policy) for _ in range(2))
    assert first != second
    assert b"secret" not in first
    assert sealer.unseal(first, b"name") == sealer.unseal(second, b"name") == b"secret"


def test_bound_to_the_name(make: Callable[[bytes, bytes], Sealer]) -> None:
    """A value under another name does not open."""
    sealer = make(b"u" * 32, b"p" * 32)
    with pytest.raises(SealError) as raised:
        sealer.unseal(sealer.seal(b"secret", b"name", policy=SealPolicy.PRODUCT), b"other")
    assert not isinstance(raised.value, ForeignSealError)


def test_every_byte_counts(make: Callable[[bytes, bytes], Sealer]) -> None:
    """Flipping any byte, or cutting the value anywhere, is noticed."""
    sealer = make(b"u" * 32, b"p" * 32)
    sealed = sealer.seal(b"secret", b"name", policy=SealPolicy.UNIQUE)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        for wrong in (bytes(altered), sealed[:position]):
            with pytest.raises(SealError):
                sealer.unseal(wrong, b"name")


@pytest.mark.parametrize("policy", POLICIES)
def test_another_identity_is_told_apart(make: Callable[[bytes, bytes], Sealer], policy: SealPolicy) -> None:
    """Another build's seal is a case for recovery, not a sign of tampering; unique and product differ."""
    sealed = make(b"u" * 32, b"p" * 32).seal(b"secret", b"name", policy=policy)
    with pytest.raises(ForeignSealError):
        make(b"U" * 32, b"P" * 32).unseal(sealed, b"name")
    newer_build = make(b"U" * 32, b"p" * 32)
    if policy is SealPolicy.PRODUCT:
        assert newer_build.unseal(sealed, b"name") == b"secret"
    else:
        with pytest.raises(ForeignSealError):
            newer_build.unseal(sealed, b"name")


def test_names_and_older_keys() -> None:
    """A key is named one-way; the product key of an older version opens, and seals no more."""
    before = AesGcmSealer(SealingKeys(unique=b"u" * 32, product=b"p" * 32), SystemEntropy())
    keys = SealingKeys(
        unique=b"U" * 32, product=b"P" * 32, older=(b"p" * 32,), circumstances={"microcode": "1"}
    )
    now = AesGcmSealer(keys, SystemEntropy())
    sealed = before.seal(b"secret", b"name", policy=SealPolicy.PRODUCT)
    assert now.unseal(sealed, b"name") == b"secret"
    assert now.policy_of(sealed) is SealPolicy.PRODUCT
    assert now.policy_of(b"something else") is None
    with pytest.raises(ForeignSealError):
        before.unseal(now.seal(b"secret", b"name", policy=SealPolicy.PRODUCT), b"name")
    names = {one.key_name(policy) for one in (before, now) for policy in POLICIES}
    assert len(names) == 4
    assert now.circumstances() == {"microcode": "1"}


def test_keys_are_not_shown() -> None:
    """The repr of the sealing keys holds none of them."""
    assert "u" * 32 not in repr(SealingKeys(unique=b"u" * 32, product=b"p" * 32))
