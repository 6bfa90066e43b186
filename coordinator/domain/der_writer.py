"""The few DER types that a certificate is made of (X.690), written as Go's ``encoding/asn1`` writes them.

``cryptography`` can build certificates too, but not every one that a MarbleRun manifest may ask for: it
refuses a country of more than two letters and a common name of more than 64, both of which Go writes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
"""No asterisk and no ampersand: Go writes these as UTF-8."""
_OID: Final = re.compile(r"(0|[1-9]\d{0,38})(\.(0|[1-9]\d{0,38})){1,63}", re.ASCII)
_FIRST_GENERALIZED_YEAR: Final = 2050
_IDENTIFIERS: Final = 256
"""Remembered encodings: every certificate has the same dozen."""


def element(tag: int, content: bytes) -> bytes:
    """Write one element with its shortest length."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def sequence(*parts: bytes) -> bytes:
    """Write a SEQUENCE of encoded elements."""
    return element(_SEQUENCE, b"".join(parts))


def set_of(parts: Iterable[bytes]) -> bytes:
    """Write a SET OF: its members in the order of their bytes (X.690, 11.6)."""
    return element(_SET, b"".join(sorted(parts)))


def explicit(number: int, content: bytes) -> bytes:
    """Write a constructed element with the context tag *number*."""
    return element(0xA0 | number, content)


def implicit(number: int, content: bytes) -> bytes:
    """Write a primitive element with the context tag *number*."""
    return element(0x80 | number, content)


def boolean_true() -> bytes:
    """Write TRUE; DER leaves out FALSE where it is the default."""
    return b"\x01\x01\xff"


def integer(value: int) -> bytes:
    """Write a number that is not negative."""
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """Write an OCTET STRING."""
    return element(0x04, content)


def bit_string(content: bytes, *, unused: int = 0) -> bytes:
    """Write a BIT STRING whose last byte has *unused* bits."""
    return element(0x03, bytes([unused]) + content)


def named_bits(mask: int) -> bytes:
    """Write a BIT STRING of flags, bit 0 first, without the zeros behind the last one set."""
    length = mask.bit_length()
    size = (length + 7) // 8
    flags = sum(1 << (size * 8 - 1 - bit) for bit in range(length) if mask >> bit & 1)
    return bit_string(flags.to_bytes(size, "big"), unused=size * 8 - length)


@lru_cache(maxsize=_IDENTIFIERS)
def object_identifier(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER.

    Raises:
        ValueError: *dotted* is none.
    """
    if not _OID.fullmatch(dotted):
        raise ValueError("not an object identifier")
    first, second, *rest = map(int, dotted.split("."))
    if first > 2 or (first < 2 and second > 39):
        raise ValueError("not an object identifier")
    return element(0x06, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def directory_string(text: str) -> bytes:
    """Write a text of a name: PrintableString where it fits, else UTF8String."""
    return element(0x13 if _PRINTABLE.fullmatch(text) else 0x0C, text.encode())


def ia5(text: str) -> bytes:
    """Return the bytes of an address or host name.

    Raises:
        ValueError: it has characters beyond ASCII.
    """
    if not text.isascii():
        raise ValueError("a name with characters beyond ASCII")
    return text.encode()


def time(at: datetime) -> bytes:
    """Write a moment in UTC, cut to the second: UTCTime where it has one, else GeneralizedTime."""
    if 1950 <= at.year < _FIRST_GENERALIZED_YEAR:
        return element(0x17, at.strftime("%y%m%d%H%M%SZ").encode())
    return element(0x18, f"{at.year:04d}{at:%m%d%H%M%SZ}".encode())


def _base128(value: int) -> bytes:
    septets = [value & 0x7F]
    while value := value >> 7:
        septets.append(0x80 | (value & 0x7F))
    return bytes(reversed(septets))
