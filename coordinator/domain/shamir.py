"""Shamir's secret sharing over GF(2^8), in constant time (marblerun-core 7.2, vector 13.4).

Each byte of the secret is the value at 0 of a random polynomial of degree threshold-1 over the AES field; a
share is one value per byte, and the place it was taken at as last byte. Field operations are bitwise: no
table look-up and no branch depends on a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_SHARES = 255
MIN_THRESHOLD = 2
_REDUCTION = 0x1B
"""x^8 = x^4 + x^3 + x + 1 in the AES field."""


def split(secret: bytes, *, shares: int, threshold: int, random: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """Split *secret* into *shares* of which any *threshold* give it back.

    Raises:
        ValueError: the numbers are out of range, or the secret is empty.
    """
    if not MIN_THRESHOLD <= threshold <= shares <= MAX_SHARES:
        raise ValueError(f"no {threshold}-of-{shares} sharing: thresholds are 2 to the number of shares")
    if not secret:
        raise ValueError("an empty secret cannot be shared")
    polynomials = tuple(
        (byte, *coefficients)
        for byte, coefficients in zip(secret, _rows(random, len(secret), threshold - 1), strict=True)
    )
    return tuple(
        bytes(_evaluate(polynomial, x) for polynomial in polynomials) + bytes([x])
        for x in range(1, shares + 1)
    )


def combine(shares: Sequence[bytes]) -> bytes:
    """Interpolate the secret from *shares*; with fewer than the threshold the result is another secret.

    Raises:
        ValueError: fewer than two shares, of different lengths, or two from the same place.
    """
    if len(shares) < MIN_THRESHOLD:
        raise ValueError("less than two shares cannot be combined")
    if len({len(share) for share in shares}) != 1 or len(shares[0]) < 2:
        raise ValueError("shares have different lengths")
    places = [share[-1] for share in shares]
    if len(set(places)) != len(places) or 0 in places:
        raise ValueError("two shares are from the same place")
    weights = [_weight(places, own) for own in places]
    values = [share[:-1] for share in shares]
    return bytes(_weighted_sum(column, weights) for column in zip(*values, strict=True))


def multiply(a: int, b: int) -> int:
    """Multiply two field elements: the same steps for all of them."""
    product = 0
    for bit in range(7, -1, -1):
        carry = -(product >> 7) & _REDUCTION
        product = ((product << 1) & 0xFF) ^ carry ^ (-((b >> bit) & 1) & a)
    return product


def invert(a: int) -> int:
    """Return the inverse of *a* (0 for 0): a to the power of 254, since a^255 is 1."""
    result, power = 1, a
    for _ in range(7):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def _rows(random: Callable[[int], bytes], rows: int, width: int) -> tuple[bytes, ...]:
    drawn = random(rows * width)
    return tuple(drawn[row * width : (row + 1) * width] for row in range(rows))


def _evaluate(polynomial: Sequence[int], x: int) -> int:
    """Horner's rule; the coefficient of degree 0 comes first."""
    value = 0
    for coefficient in reversed(polynomial):
        value = multiply(value, x) ^ coefficient
    return value


def _weight(places: Sequence[int], own: int) -> int:
    """Lagrange's basis polynomial of *own*, at 0."""
    weight = 1
    for other in places:
        if other != own:  # places are public
            weight = multiply(weight, multiply(other, invert(other ^ own)))
    return weight


def _weighted_sum(column: Sequence[int], weights: Sequence[int]) -> int:
    total = 0
    for value, weight in zip(column, weights, strict=True):
        total ^= multiply(value, weight)
    return total
