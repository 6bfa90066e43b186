"""The constants of an action, as Go's ``strconv`` reads them: texts in quotes or backticks, and integers."""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\\"])|x(?P<byte>[0-9A-Fa-f]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<wrong>.?))",
    re.ASCII | re.DOTALL,
)
_PLAIN: Final = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>(?:_?[0-9A-Fa-f])+)|0[bB](?P<binary>(?:_?[01])+)"
    r"|0[oO]?(?P<octal>(?:_?[0-7])+)|(?P<decimal>0|[1-9](?:_?[0-9])*))",
    re.ASCII,
)
_BASES: Final = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}
_MAX_INTEGER_CHARS: Final = 72
"""A sign, a prefix and 63 binary digits, with room for underscores between a few."""


def read_string(text: str) -> bytes:
    """Read an interpreted text with its quotes.

    Raises:
        ValueError: an escape that Go does not know; the message says which.
    """
    inner = text[1:-1]
    if "\\" not in inner:
        return inner.encode()
    written, offset = bytearray(), 0
    for match in _ESCAPE.finditer(inner):
        written += inner[offset : match.start()].encode() + _escaped(match)
        offset = match.end()
    return bytes(written + inner[offset:].encode())


def read_raw_string(text: str) -> bytes:
    """Read a text with its backticks. Go drops carriage returns from it."""
    return text[1:-1].replace("\r", "").encode()


def read_integer(text: str) -> int:
    """Read an integer constant of Go: decimal, 0x, 0o or a plain 0, 0b, with underscores between digits.

    Raises:
        ValueError: the text is not one, or does not fit 64 bits with a sign.
    """
    match = _INTEGER.fullmatch(text) if len(text) <= _MAX_INTEGER_CHARS else None
    if match is None or match.lastgroup is None:
        raise ValueError("not an integer constant")
    digits = match[match.lastgroup].replace("_", "")
    number = int(digits, _BASES[match.lastgroup]) * (-1 if match["sign"] == "-" else 1)
    if not -(2**63) <= number < 2**63:
        raise ValueError("the integer does not fit 64 bits")
    return number


def _escaped(match: re.Match[str]) -> bytes:
    if match["plain"] is not None:
        return _PLAIN[match["plain"]]
    if match["byte"] is not None:
        return bytes((int(match["byte"], 16),))
    if match["octal"] is not None and int(match["octal"], 8) <= 0xFF:
        return bytes((int(match["octal"], 8),))
    point = match["short"] or match["long"]
    if point is None:
        raise ValueError(f"the escape {match.group()!r} is not one of Go's")
    try:
        return chr(int(point, 16)).encode()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"the escape {match.group()!r} is no character") from error
