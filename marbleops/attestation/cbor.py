"""A strict reader of the little CBOR that RA-TLS uses (RFC 8949): numbers, strings, arrays, maps and tags.

Definite lengths, no member twice, nothing left over, and a bounded depth. What it reads is hashed in its
original bytes, so that several encodings of one value do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from marbleops.attestation import limits

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_FOLLOWING: Final = {24: 1, 25: 2, 26: 4, 27: 8}


class CborError(ValueError):
    """The bytes are not one value of the CBOR that is read here."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag."""

    tag: int
    value: Any


def decode(data: bytes) -> Any:
    """Return the one value that ``data`` is; raises ``CborError``.

    It is an int, bytes, str, list or dict, or one of these ``Tagged``.
    """
    value, end = _value(data, 0, 0)
    if end != len(data):
        raise CborError(f"{len(data) - end} bytes follow the value")
    return value


def _value(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
    if depth > limits.MAX_CBOR_DEPTH:
        raise CborError("nested too deeply")
    kind, number, offset = _head(data, offset)
    if kind == _UNSIGNED:
        return number, offset
    if kind == _NEGATIVE:
        return -1 - number, offset
    if kind in (_BYTES, _TEXT):
        return _string(data, offset, number, text=kind == _TEXT)
    if kind == _TAG:
        value, offset = _value(data, offset, depth + 1)
        return Tagged(number, value), offset
    if kind not in (_ARRAY, _MAP):
        raise CborError("simple values and floats are not used here")
    if number > limits.MAX_CBOR_ITEMS:
        raise CborError(f"more than {limits.MAX_CBOR_ITEMS} items")
    if kind == _ARRAY:
        items = []
        for _ in range(number):
            item, offset = _value(data, offset, depth + 1)
            items.append(item)
        return items, offset
    return _map(data, offset, number, depth)


def _map(data: bytes, offset: int, count: int, depth: int) -> tuple[dict[Any, Any], int]:
    members: dict[Any, Any] = {}
    for _ in range(count):
        key, offset = _value(data, offset, depth + 1)
        if not isinstance(key, int | str | bytes):
            raise CborError("a member's name is neither a number nor a string")
        if key in members:
            raise CborError("a member occurs twice")
        members[key], offset = _value(data, offset, depth + 1)
    return members, offset


def _head(data: bytes, offset: int) -> tuple[int, int, int]:
    if offset >= len(data):
        raise CborError("truncated")
    kind, number = data[offset] >> 5, data[offset] & 0x1F
    offset += 1
    if number < 24:
        return kind, number, offset
    if number not in _FOLLOWING:
        raise CborError("indefinite lengths are not used here")
    end = offset + _FOLLOWING[number]
    if end > len(data):
        raise CborError("truncated")
    return kind, int.from_bytes(data[offset:end], "big"), end


def _string(data: bytes, offset: int, length: int, *, text: bool) -> tuple[bytes | str, int]:
    end = offset + length
    if end > len(data):
        raise CborError("truncated")
    content = data[offset:end]
    try:
        return content.decode() if text else content, end
    except UnicodeDecodeError as error:
        raise CborError("a string is not UTF-8") from error
