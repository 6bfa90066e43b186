"""A strict reader of the few DER types that Intel's and AMD's certificates use (X.690, section 8 and 10.1).

One element at a time, definite and shortest lengths only, nothing left over. It exists because
``cryptography`` hands out unknown extensions as bytes, because it may refuse AMD's certificates one day (1.4)
and because a lenient reader would accept two encodings of one platform.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT: Final = 0xA0  # plus the number of an explicitly tagged member


class DerError(ValueError):
    """The bytes are not the DER that was asked for."""


class Element(NamedTuple):
    """A tag and its contents."""

    tag: int
    content: bytes

    @property
    def encoding(self) -> bytes:
        """Return the element as it was read: DER has one encoding for it."""
        return encode(self.tag, self.content)


def encode(tag: int, content: bytes) -> bytes:
    """Return an element whose length is in its shortest form."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def read_all(data: bytes) -> tuple[Element, ...]:
    """Read elements until the end of ``data``; raises ``DerError``."""
    elements: list[Element] = []
    offset = 0
    while offset < len(data):
        element, offset = _read(data, offset)
        elements.append(element)
    return tuple(elements)


def read_one(data: bytes, tag: int) -> bytes:
    """Return the contents of the single element that ``data`` is; raises ``DerError``."""
    elements = read_all(data)
    if len(elements) != 1:
        raise DerError(f"expected one element, found {len(elements)}")
    return expect(elements[0], tag)


def total_length(data: bytes) -> int:
    """Return how many bytes the first element of ``data`` occupies; raises ``DerError``."""
    return _read(data, 0)[1]


def expect(element: Element, tag: int) -> bytes:
    """Return the contents of ``element`` where it has ``tag``; raises ``DerError``."""
    if element.tag != tag:
        raise DerError(f"expected tag 0x{tag:02x}, found 0x{element.tag:02x}")
    return element.content


def unsigned(element: Element, *, tag: int = INTEGER) -> int:
    """Return a non-negative INTEGER (or ENUMERATED) in its shortest form; raises ``DerError``."""
    content = expect(element, tag)
    if not content or content[0] & 0x80:
        raise DerError("expected a non-negative integer")
    if len(content) > 1 and content[0] == 0 and not content[1] & 0x80:
        raise DerError("integer is not in its shortest form")
    return int.from_bytes(content, "big")


def boolean(element: Element) -> bool:
    """Return a BOOLEAN, for which DER allows only 00 and FF; raises ``DerError``."""
    content = expect(element, BOOLEAN)
    if content not in (b"\x00", b"\xff"):
        raise DerError("boolean is neither 00 nor ff")
    return content == b"\xff"


def octets(element: Element, length: int) -> bytes:
    """Return an OCTET STRING of exactly ``length`` bytes; raises ``DerError``."""
    content = expect(element, OCTET_STRING)
    if len(content) != length:
        raise DerError(f"expected {length} octets, found {len(content)}")
    return content


def _read(data: bytes, offset: int) -> tuple[Element, int]:
    if offset + 2 > len(data):
        raise DerError("truncated header")
    tag, first = data[offset], data[offset + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("multi-byte tags are not used here")
    offset += 2
    if first < 0x80:
        length = first
    else:
        count = first & 0x7F
        if not 1 <= count <= 4 or offset + count > len(data):
            raise DerError("indefinite, oversized or truncated length")
        length = int.from_bytes(data[offset : offset + count], "big")
        if length < 0x80 or length >> (8 * (count - 1)) == 0:
            raise DerError("length is not in its shortest form")
        offset += count
    if offset + length > len(data):
        raise DerError("truncated contents")
    return Element(tag, data[offset : offset + length]), offset + length
