"""From bytes to literals and tokens, by the rules of Go's ``text/template`` (measured with Go 1.26).

Text up to ``{{`` is literal. Behind ``{{-`` and before ``-}}`` a blank is needed; they trim blanks, tabs and
line ends of the literal beside them. An action ends at ``}}`` outside of quotes and may span lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from marbleops.manifest.limits import MAX_ACTION_TOKENS
from marbleops.manifest.position import shown
from marbleops.manifest.template.model import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN: Final = b"{{"
_BLANK: Final = b" \t\r\n"
_TRIM_BEFORE: Final = re.compile(rb"-[ \t\r\n]")
_COMMENT: Final = re.compile(rb"/\*")
_COMMENT_END: Final = re.compile(rb"\*/([ \t\r\n]-)?(\}\})?")
_CLOSE: Final = re.compile(rb"(?:([ \t\r\n]-)|)\}\}")


class TokenKind(StrEnum):
    """The kinds of tokens; the order is that in which they are tried."""

    SPACE = "SPACE"
    STRING = "STRING"
    RAW_STRING = "RAW_STRING"
    FIELD = "FIELD"
    NUMBER = "NUMBER"
    WORD = "WORD"
    PIPE = "PIPE"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    DOT = "DOT"
    OTHER = "OTHER"
    CLOSE = "CLOSE"


_WORD: Final = rb"[0-9A-Za-z_\x80-\xff]"
_PATTERNS: Final = {
    TokenKind.SPACE: rb"[ \t\r\n]+?(?=[ \t\r\n]-\}\})|[ \t\r\n]+",
    TokenKind.STRING: rb'"(?:[^"\\\n]|\\[^\n])*+"',
    TokenKind.RAW_STRING: rb"`[^`]*+`",
    TokenKind.FIELD: rb"\.(?![0-9])" + _WORD + rb"++",
    TokenKind.NUMBER: rb"(?:[+-]|\.?[0-9])[0-9A-Za-z_.+\-\x80-\xff]*+",
    TokenKind.WORD: _WORD + rb"++",
    TokenKind.PIPE: rb"\|",
    TokenKind.LEFT: rb"\(",
    TokenKind.RIGHT: rb"\)",
    TokenKind.DOT: rb"\.",
    TokenKind.OTHER: rb":=|\$" + _WORD + rb"*+|.",
}
_TOKEN: Final = re.compile(
    b"|".join(b"(?P<" + kind.encode() + b">" + pattern + b")" for kind, pattern in _PATTERNS.items()),
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, its text, and where it begins."""

    kind: TokenKind
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Action:
    """The tokens between the braces, with ``CLOSE`` as the last one."""

    tokens: tuple[Token, ...]
    offset: int


def split(source: bytes) -> Iterator[bytes | Action]:
    """Split a template into its literals and actions; comments and empty literals are left out.

    Raises:
        Fault: something is opened and not closed, or an action is not UTF-8.
    """
    offset, trim = 0, False
    while True:
        start = source.find(OPEN, offset)
        literal = source[offset : len(source) if start < 0 else start]
        inside = start + len(OPEN)
        before = _TRIM_BEFORE.match(source, inside) if start >= 0 else None
        literal = literal.lstrip(_BLANK) if trim else literal
        literal = literal.rstrip(_BLANK) if before else literal
        if literal:
            yield literal
        if start < 0:
            return
        inside = before.end() if before else inside
        if _COMMENT.match(source, inside):
            offset, trim = _skip_comment(source, start, inside)
        else:
            action, offset, trim = _read_action(source, start, inside)
            yield action


def _skip_comment(source: bytes, start: int, offset: int) -> tuple[int, bool]:
    end = _COMMENT_END.search(source, offset + len(b"/*"))
    if end is None:
        raise Fault(start, "unclosed comment")
    if end[2] is None:
        raise Fault(end.start(), "a comment stands alone in its action: }} comes right behind */")
    return end.end(), end[1] is not None


def _read_action(source: bytes, start: int, offset: int) -> tuple[Action, int, bool]:
    tokens: list[Token] = []
    while len(tokens) < MAX_ACTION_TOKENS:
        close = _CLOSE.match(source, offset)
        if close is not None:
            tokens.append(Token(TokenKind.CLOSE, "}}", offset))
            return Action(tuple(tokens), start), close.end(), close[1] is not None
        match = _TOKEN.match(source, offset)
        if match is None:
            raise Fault(start, "unclosed action")
        tokens.append(_token(match))
        offset = match.end()
    raise Fault(start, f"the action has more than {MAX_ACTION_TOKENS} words and signs")


def _token(match: re.Match[bytes]) -> Token:
    kind = TokenKind(match.lastgroup or "OTHER")
    try:
        text = match.group().decode()
    except UnicodeDecodeError as error:
        raise Fault(match.start(), "an action is UTF-8") from error
    if kind is TokenKind.OTHER and text in '"`':
        raise Fault(match.start(), f"a text that begins with {text} is not closed")
    if kind in (TokenKind.WORD, TokenKind.FIELD) and not text.isascii():
        for character in text.removeprefix("."):
            if not (character.isalpha() or character.isdecimal() or character == "_"):
                message = f"{shown(character)!r} is neither a letter nor a digit"
                raise Fault(match.start(), message)
    return Token(kind, text, match.start())
