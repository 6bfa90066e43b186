"""Strict reading of the JSON forms of this package: exact members, exact types, nothing extra.

These forms come from untrusted callers (evidence), from an untrusted disk (records) and from a server
(answers), so every reader names what it takes and refuses the rest.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON implementation reads alike."""


class JsonShapeError(ValueError):
    """A value that is not of the expected form; the text says which member and what was expected."""


def members(value: object, *, required: Sequence[str], optional: Sequence[str] = ()) -> Mapping[str, Any]:
    """Read an object that has all *required* members and besides them only *optional* ones.

    Raises:
        JsonShapeError: it is no object, lacks a member or has another one.
    """
    if not isinstance(value, dict):
        raise JsonShapeError("expected an object")
    for name in required:
        if name not in value:
            raise JsonShapeError(f"member {name!r} is missing")
    for name in value:
        if name not in required and name not in optional:
            raise JsonShapeError(f"unknown member {str(name)[:64]!r}")
    return value


def text(value: object, *, name: str, max_chars: int) -> str:
    """Read a string of at most *max_chars* characters; raises JsonShapeError."""
    if not isinstance(value, str):
        raise JsonShapeError(f"{name}: expected a string")
    if len(value) > max_chars:
        raise JsonShapeError(f"{name}: longer than {max_chars} characters")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise JsonShapeError(f"{name}: a lone surrogate is not text")
    return value


def integer(value: object, *, name: str, minimum: int = 0) -> int:
    """Read a plain integer from *minimum* to 2^53-1; raises JsonShapeError."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= MAX_INTEGER:
        raise JsonShapeError(f"{name}: expected an integer of at least {minimum}")
    return value


def items(value: object, *, name: str, max_items: int) -> list[Any]:
    """Read a list of at most *max_items* values; raises JsonShapeError."""
    if not isinstance(value, list):
        raise JsonShapeError(f"{name}: expected a list")
    if len(value) > max_items:
        raise JsonShapeError(f"{name}: more than {max_items} values")
    return value


def texts(value: object, *, name: str, max_items: int, max_chars: int) -> tuple[str, ...]:
    """Read a list of strings; raises JsonShapeError."""
    return tuple(
        text(item, name=name, max_chars=max_chars) for item in items(value, name=name, max_items=max_items)
    )


def digest(value: object, *, name: str) -> Digest:
    """Read a digest in its text form; raises JsonShapeError."""
    try:
        return Digest.parse(text(value, name=name, max_chars=80))
    except JsonShapeError:
        raise
    except ValueError as error:
        raise JsonShapeError(f"{name}: {error}") from error


def optional_digest(value: object, *, name: str) -> Digest | None:
    """Read a digest or null; raises JsonShapeError."""
    return None if value is None else digest(value, name=name)


def base64_bytes(value: object, *, name: str) -> bytes:
    """Read canonical base64 (RFC 4648 section 4, padded, no spaces); raises JsonShapeError.

    The length is the caller's to check: the request's own limit bounds it already.
    """
    if not isinstance(value, str):
        raise JsonShapeError(f"{name}: expected base64 text")
    try:
        decoded = base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise JsonShapeError(f"{name}: not base64") from error
    if base64.b64encode(decoded).decode("ascii") != value:
        raise JsonShapeError(f"{name}: not canonical base64")
    return decoded
