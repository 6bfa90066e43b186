"""Request bodies as Go's ``encoding/json`` reads them (marblerun-core 0.1, measured with Go 1.26).

MarbleRun's clients were written against that reader, so this one is as lenient: names of fields in any case,
unknown ones ignored, the last of a name taken twice, ``null`` no value, bytes as base64 or as a list of
numbers. A call says what it takes as a dataclass whose fields are made by ``blob``, ``text``, ``uint64`` and
``table``. The texts of errors are ours, except Go's own for a body that ends too early.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from coordinator.api.body import MAX_STRUCTURE
from coordinator.errors import MalformedRequestError
from marbleops.manifest.position import decode_text, fold, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Decoder = Callable[[Any, Any], Any]
    """From what was read and what the field held before to what it holds now."""

MAX_DEPTH: Final = 64
"""Nesting; the deepest field lies three levels down, the rest is room for ignored fields."""

_Body = TypeVar("_Body")
_NAME: Final = "name"
_DECODER: Final = "decoder"

_STRING = r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+'
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_BLANK: Final = re.compile(r"[ \t\n\r]*+")
_LEXEME: Final = re.compile(rf'[\[\]{{}},:]|{_STRING}"|{_NUMBER}|true|false|null')
_CUT_NAME: Final = re.compile(rf"(?:{_STRING}(?:\\(?:u[0-9A-Fa-f]{{0,3}})?)?)?")
_CUT_VALUE: Final = re.compile(rf"{_CUT_NAME.pattern}|-|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?")
_CUT_SIGN: Final = re.compile("")
"""What may stand at the end of a text that was cut off where a name, a value or a sign belongs."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LINE_ENDS: Final = re.compile(r"[\r\n]++")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*+={0,2}")


def whole(body: bytes, shape: type[_Body]) -> _Body:
    """Read a body that is exactly one JSON value.

    Raises:
        MalformedRequestError: it is not one, has a value of a wrong type, or is over a bound.
    """
    return _told(lambda: _struct(_whole(body), shape))


def first(body: bytes, shape: type[_Body]) -> _Body:
    """Read the first JSON value of a body and ignore what follows, as Go's stream decoder does.

    Raises:
        MalformedRequestError: as ``whole``; ``EOF`` where there is nothing.
    """
    return _told(lambda: _struct(_Reader(_bounded(body), empty="EOF", cut="unexpected EOF").value(), shape))


def whole_table(body: bytes, shape: type[_Body]) -> Mapping[str, _Body]:
    """Read a body that is exactly one JSON object of values of *shape*, under names that people choose.

    Raises:
        MalformedRequestError: as ``whole``.
    """
    return _told(lambda: _table(shape)(_whole(body), None))


# What a field may hold, and what it holds where the body does not name it.


def blob(name: str) -> Any:
    """Declare bytes: base64 text or a list of numbers. None where absent or ``null``, empty where ``""``."""
    return custom(name, _blob)


def text(name: str) -> Any:
    """Declare text."""
    return dataclasses.field(default="", metadata={_NAME: name, _DECODER: _text})


def uint64(name: str) -> Any:
    """Declare a number from 0 to 2^64-1, written as a plain integer."""
    return dataclasses.field(default=0, metadata={_NAME: name, _DECODER: _uint64})


def table(name: str, shape: type[Any]) -> Any:
    """Declare a map from names that people choose to values of *shape*; empty where absent or ``null``."""
    return dataclasses.field(
        default_factory=lambda: MappingProxyType({}), metadata={_NAME: name, _DECODER: _table(shape)}
    )


def custom(name: str, decode: Decoder) -> Any:
    """Declare a value that *decode* reads, and that may be a secret; None where absent."""
    return dataclasses.field(default=None, repr=False, metadata={_NAME: name, _DECODER: decode})


def read_base64(written: str, *, url: bool = False) -> bytes:
    """Decode padded base64 as Go does: line ends are skipped, bits left over do not matter.

    Raises:
        ValueError: another alphabet, or no good padding.
    """
    plain = _LINE_ENDS.sub("", written)
    if len(plain) % 4 or (_BASE64URL if url else _BASE64).fullmatch(plain) is None:
        raise ValueError("not padded base64" + ("url" if url else ""))
    return base64.b64decode(plain, altchars=b"-_" if url else None)


# From text to values.


@dataclass(frozen=True, slots=True)
class _Object:
    """An object with every member in order, since a name may stand twice."""

    members: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it is written: the type of the field says what is allowed."""

    literal: str


_LITERALS: Final[Mapping[str, bool | None]] = MappingProxyType({"true": True, "false": False, "null": None})


class _Reader:
    """Reads JSON strictly from a text; *empty* and *cut* are the words for a text that ends too early."""

    def __init__(self, source: str, *, empty: str, cut: str) -> None:
        self._source = source
        self._empty = empty
        self._cut = cut
        self._offset = 0
        self._depth = 0

    def value(self) -> Any:
        """Read the next value."""
        return self._value(self._lexeme(_CUT_VALUE))

    def finish(self) -> None:
        """Refuse anything but white space after the value."""
        if self._skip() != len(self._source):
            raise ValueError("something follows the JSON value")

    def _value(self, lexeme: str) -> Any:
        if lexeme == "{":
            return self._nested(self._object)
        if lexeme == "[":
            return self._nested(self._array)
        if lexeme[0] == '"':
            return _unquoted(lexeme)
        if lexeme in _LITERALS:
            return _LITERALS[lexeme]
        if lexeme in "]},:":
            raise self._unexpected()
        return _Number(lexeme)

    def _nested(self, read: Callable[[], Any]) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"the body is nested more than {MAX_DEPTH} levels deep")
        value = read()
        self._depth -= 1
        return value

    def _object(self) -> _Object:
        members: list[tuple[str, Any]] = []
        lexeme = self._lexeme(_CUT_NAME)
        while lexeme != "}":
            if lexeme[0] != '"' or self._lexeme(_CUT_SIGN) != ":":
                raise self._unexpected()
            members.append((_unquoted(lexeme), self.value()))
            lexeme = self._following("}", _CUT_NAME)
        return _Object(members)

    def _array(self) -> list[Any]:
        items: list[Any] = []
        lexeme = self._lexeme(_CUT_VALUE)
        while lexeme != "]":
            items.append(self._value(lexeme))
            lexeme = self._following("]", _CUT_VALUE)
        return items

    def _following(self, closing: str, cut: re.Pattern[str]) -> str:
        """Step over a comma to the next lexeme, or return *closing*."""
        lexeme = self._lexeme(_CUT_SIGN)
        if lexeme == closing:
            return lexeme
        if lexeme != ",":
            raise self._unexpected()
        lexeme = self._lexeme(cut)
        if lexeme == closing:
            raise self._unexpected()
        return lexeme

    def _lexeme(self, cut: re.Pattern[str]) -> str:
        start = self._skip()
        found = _LEXEME.match(self._source, start)
        if found is not None:
            self._offset = found.end()
            return found.group()
        if start == len(self._source) and not self._depth:
            raise ValueError(self._empty)
        if cut.fullmatch(self._source, start) is not None:
            raise ValueError(self._cut)
        self._offset = start + 1
        raise self._unexpected()

    def _skip(self) -> int:
        blank = _BLANK.match(self._source, self._offset)
        assert blank is not None, "the pattern matches the empty string"
        return blank.end()

    def _unexpected(self) -> ValueError:
        return ValueError(f"the body is not JSON: unexpected character {self._offset}")


def _bounded(body: bytes) -> str:
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MAX_STRUCTURE:
        raise ValueError("the body has more values than any call")
    return decode_text(body)[0]


def _whole(body: bytes) -> Any:
    end = "unexpected end of JSON input"
    reader = _Reader(_bounded(body), empty=end, cut=end)
    value = reader.value()
    reader.finish()
    return value


def _unquoted(lexeme: str) -> str:
    if "\\" not in lexeme:
        return lexeme[1:-1]
    return _SURROGATE.sub("\ufffd", cast("str", json.loads(lexeme)))


def _told(read: Callable[[], _Body]) -> _Body:
    try:
        return read()
    except ValueError as error:
        raise MalformedRequestError(str(error)) from error


# From values to fields. A decoder gets what was read and what the field holds from an earlier member, if any.


def _struct(value: Any, shape: type[_Body]) -> _Body:
    if value is None:
        return shape()
    if not isinstance(value, _Object):
        raise _wrong(value, "an object")
    fields = {fold(one.metadata[_NAME]): one for one in dataclasses.fields(cast("Any", shape))}
    held: dict[str, Any] = {}
    for name, member in value.members:
        one = fields.get(fold(name))
        if one is not None:
            held[one.name] = _named(name, one.metadata[_DECODER], member, held.get(one.name))
    return shape(**held)


def _table(shape: type[_Body]) -> Callable[[Any, Mapping[str, _Body] | None], Mapping[str, _Body]]:
    def decode(value: Any, before: Mapping[str, _Body] | None) -> Mapping[str, _Body]:
        if value is None:
            return MappingProxyType({})
        if not isinstance(value, _Object):
            raise _wrong(value, "an object")
        held = dict(before or {})
        for name, item in value.members:
            held[name] = _named(name, lambda found, _: _struct(found, shape), item, None)
        return MappingProxyType(held)

    return decode


def _named(name: str, decode: Decoder, value: Any, before: Any) -> Any:
    try:
        return decode(value, before)
    except ValueError as error:
        raise ValueError(f"{shown(name)}: {error}") from error


def _blob(value: Any, before: bytes | None) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return read_base64(value)
    if not isinstance(value, list):
        raise _wrong(value, "base64 text")
    kept = (before or b"").ljust(len(value), b"\0")  # null leaves a number of an earlier list as it is
    return bytes(kept[at] if item is None else _integer(item, 0xFF) for at, item in enumerate(value))


def _text(value: Any, before: str | None) -> str:
    if value is None:
        return before or ""
    if not isinstance(value, str):
        raise _wrong(value, "text")
    return value


def _uint64(value: Any, before: int | None) -> int:
    return before or 0 if value is None else _integer(value, 2**64 - 1)


def _integer(value: Any, maximum: int) -> int:
    """Read a plain literal: no sign, fraction or exponent, and in range."""
    if not isinstance(value, _Number):
        raise _wrong(value, "a number")
    written = value.literal
    if not written.isdigit() or len(written) > len(str(maximum)) or int(written) > maximum:
        raise ValueError(f"expected a plain integer from 0 to {maximum}")
    return int(written)


def _wrong(value: Any, expected: str) -> ValueError:
    words = {str: "text", bool: "true or false", list: "a list", _Object: "an object", _Number: "a number"}
    return ValueError(f"expected {expected}, not {words.get(type(value), 'null')}")
