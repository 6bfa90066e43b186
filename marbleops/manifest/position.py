"""Where a value stands in a JSON text: a small strict scanner that answers with lines and columns.

The standard library's parser forgets positions and drops duplicate names; this one keeps both. It is run only
to explain a refusal, on text that the bounds of ``limits`` have already passed.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from marbleops.manifest.limits import MAX_DEPTH, MAX_SHOWN, MAX_VALUES

JsonPath = tuple[str | int, ...]

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+"')
_SCALAR: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},:]', re.DOTALL)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_$@-]+", re.ASCII)
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")


class ScanError(Exception):
    """The text is not JSON; ``offset`` says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class OverBoundError(ScanError):
    """The text is over a bound of ``limits``."""


@dataclass(slots=True)
class Node:
    """A value's place: offsets of its name (its own, without one) and of its first character."""

    name_offset: int
    offset: int
    children: dict[str | int, Node] = field(default_factory=dict)
    folded: dict[str, Node] | None = None

    def child(self, step: str | int) -> Node | None:
        """Find the child *step*; a name also in another case, since MarbleRun's rules allow any."""
        exact = self.children.get(step)
        if exact is not None or isinstance(step, int):
            return exact
        if self.folded is None:
            self.folded = {fold(key): node for key, node in self.children.items() if isinstance(key, str)}
        return self.folded.get(fold(step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A name that stands twice in one object; ``offset`` is the later one's."""

    path: JsonPath
    offset: int


def decode_text(raw: bytes) -> tuple[str, int | None]:
    """Decode *raw* as UTF-8 and say where its first foreign byte is.

    Each foreign byte becomes U+FFFD as in Go (marblerun-core 0.1).
    """
    text = raw.decode("utf-8", "surrogateescape")
    first = _ESCAPED_BYTE.search(text)
    if first is None:
        return text, None
    return _ESCAPED_BYTE.sub("\ufffd", text), first.start()


def check_bounds(text: str) -> None:
    """Refuse nesting and amounts that are over the bounds, before any parser recurses.

    Raises:
        OverBoundError: the text nests too deeply or holds too many values.
        ScanError: something is closed that was not opened.
    """
    depth = count = 0
    for match in _TOKEN.finditer(text):
        sign = match.group()
        if sign in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise OverBoundError(f"nested more than {MAX_DEPTH} levels deep", match.start())
        elif sign in "]}":
            depth -= 1
            if depth < 0:
                raise ScanError("nothing is open that this could close", match.start())
        count += sign not in "]}"
        if count > 2 * MAX_VALUES:
            raise OverBoundError(f"more than {MAX_VALUES} values", match.start())


def fold(name: str) -> str:
    """Fold *name* as Go does to match a field: two names that fold alike are one field (marblerun-core 0.1).

    Beside letter case only U+017F and U+212A fold to ASCII letters; full case folding would match more.
    """
    return name.replace("\u017f", "s").lower()


class Positions:
    """The index of one text: made once, asked often. Built by ``scan``."""

    def __init__(self, text: str, root: Node, duplicates: tuple[Duplicate, ...]) -> None:
        self.duplicates = duplicates
        self._root = root
        self._lines = _line_starts(text)

    def value(self, path: JsonPath) -> tuple[int, int]:
        """Line and column of the value at *path*, or of its nearest existing ancestor."""
        return self.at(self._find(path).offset)

    def name(self, path: JsonPath) -> tuple[int, int]:
        """Line and column of the name in front of the value at *path* (of the value, where it has none)."""
        return self.at(self._find(path).name_offset)

    def at(self, offset: int) -> tuple[int, int]:
        """Turn an offset into line and column, both from 1."""
        return _line_column(self._lines, offset)

    def _find(self, path: JsonPath) -> Node:
        node = self._root
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node


def scan(text: str) -> Positions:
    """Index a JSON text.

    Raises:
        ScanError: the text is not exactly one JSON value, or is over a bound.
    """
    check_bounds(text)
    duplicates: list[Duplicate] = []
    start = _skip(text, 0)
    root = Node(start, start)
    end = _skip(text, _value(text, start, root, (), duplicates))
    if end != len(text):
        raise ScanError("something follows the JSON value", end)
    return Positions(text, root, tuple(duplicates))


def position_of(raw: bytes, path: JsonPath) -> tuple[int, int] | None:
    """Line and column, from 1, of the value at *path* (of its nearest existing ancestor, where it is gone).

    ``None`` if *raw* is not JSON at all.
    """
    try:
        return scan(decode_text(raw)[0]).value(path)
    except ScanError:
        return None


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Turn an offset into *text* into line and column, both from 1."""
    return _line_column(_line_starts(text), offset)


def format_path(path: JsonPath) -> str:
    """Write a path for people: ``Marbles.web.TLS[0]``, unusual names as ``Files["/etc/a.conf"]``."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            written += f".{step}" if written else step
        else:
            written += f"[{json.dumps(_shortened(step))}]"
    return written


def shown(name: str) -> str:
    """Repeat a foreign name in a message: as it is if short and printable, else escaped and shortened."""
    return name if name.isprintable() and len(name) <= MAX_SHOWN else json.dumps(_shortened(name))


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "..."


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _line_column(starts: list[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    assert match is not None, "the pattern matches the empty string"
    return match.end()


def _value(text: str, offset: int, node: Node, path: JsonPath, duplicates: list[Duplicate]) -> int:
    """Scan the value at *offset* into *node* and return the offset behind it."""
    first = text[offset : offset + 1]
    if first == "{":
        return _object(text, offset, node, path, duplicates)
    if first == "[":
        return _array(text, offset, node, path, duplicates)
    match = (_STRING if first == '"' else _SCALAR).match(text, offset)
    if match is None:
        mark = text[offset : offset + 1] == "\ufeff"
        message = "a byte order mark is not JSON" if mark else "expected a JSON value"
        raise ScanError(message, offset)
    return match.end()


def _object(text: str, offset: int, node: Node, path: JsonPath, duplicates: list[Duplicate]) -> int:
    offset = _skip(text, offset + 1)
    if text[offset : offset + 1] == "}":
        return offset + 1
    while True:
        match = _STRING.match(text, offset)
        if match is None:
            raise ScanError("expected a name in double quotes", offset)
        name: str = json.loads(match.group())
        colon = _skip(text, match.end())
        if text[colon : colon + 1] != ":":
            raise ScanError("expected ':' after the name", colon)
        if name in node.children:
            duplicates.append(Duplicate(path=(*path, name), offset=offset))
        start = _skip(text, colon + 1)
        child = node.children[name] = Node(offset, start)
        offset, more = _next(text, _value(text, start, child, (*path, name), duplicates), "}")
        if not more:
            return offset


def _array(text: str, offset: int, node: Node, path: JsonPath, duplicates: list[Duplicate]) -> int:
    offset = _skip(text, offset + 1)
    if text[offset : offset + 1] == "]":
        return offset + 1
    index = 0
    while True:
        child = node.children[index] = Node(offset, offset)
        offset, more = _next(text, _value(text, offset, child, (*path, index), duplicates), "]")
        index += 1
        if not more:
            return offset


def _next(text: str, offset: int, closing: str) -> tuple[int, bool]:
    """Step over ``,`` or *closing*: the offset of what follows, and whether another member does."""
    offset = _skip(text, offset)
    sign = text[offset : offset + 1]
    if sign == ",":
        return _skip(text, offset + 1), True
    if sign == closing and sign:
        return offset + 1, False
    raise ScanError(f"expected ',' or '{closing}'", offset)
