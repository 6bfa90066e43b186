"""From a template's bytes to typed expressions, or to the reason why not.

A strict reader of a subset of Go's grammar: pipelines, parentheses, constants, paths and calls. What the
words mean stands in ``meaning``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from marbleops.manifest.limits import (
    MAX_CACHED_TEMPLATE_BYTES,
    MAX_TEMPLATE_ACTIONS,
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATE_DEPTH,
)
from marbleops.manifest.position import shown
from marbleops.manifest.template.constructs import known_words, why_not_sign, why_not_word
from marbleops.manifest.template.lexer import OPEN, Action, Token, TokenKind, split
from marbleops.manifest.template.literals import read_integer, read_raw_string, read_string
from marbleops.manifest.template.meaning import Function, Node, Operand, Place, call, printable, step
from marbleops.manifest.template.model import (
    Expression,
    Fault,
    Literal,
    Mistaken,
    Target,
    Template,
    TemplateError,
    Type,
)

_ENDS: Final = frozenset({TokenKind.PIPE, TokenKind.RIGHT, TokenKind.CLOSE})


def parse_template(text: bytes, *, target: Target) -> Template:
    """Parse a template.

    Raises:
        TemplateError: it is not of our subset of Go's language, or over a bound of ``limits``.
    """
    if OPEN not in text:
        return Template(target=target, parts=(text,) if text else (), source=text)
    try:
        return (_parse_once if len(text) <= MAX_CACHED_TEMPLATE_BYTES else _parse)(text, target)
    except Fault as fault:
        raise TemplateError.at(text, fault) from fault


def _parse(text: bytes, target: Target) -> Template:
    if len(text) > MAX_TEMPLATE_BYTES:
        raise Fault(0, f"the template has more than {MAX_TEMPLATE_BYTES} bytes")
    parts: list[bytes | Expression] = []
    actions = 0
    for piece in split(text):
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        actions += 1
        if actions > MAX_TEMPLATE_ACTIONS:
            raise Fault(piece.offset, f"more than {MAX_TEMPLATE_ACTIONS} actions in one template")
        parts.append(_Reader(piece, target).read())
    return Template(target=target, parts=tuple(parts), source=text)


_parse_once = lru_cache(maxsize=256)(_parse)
"""The same few templates are rendered for every marble; a parsed one holds no secret and never changes."""


class _Reader:
    """Reads the tokens of one action."""

    def __init__(self, action: Action, target: Target) -> None:
        self._target = target
        self._tokens = action.tokens
        self._next = 0
        self._depth = 0

    def read(self) -> Expression:
        """Read the whole action: one pipeline whose value can be written."""
        return printable(self._pipeline(TokenKind.CLOSE), self._target)

    def _pipeline(self, closing: TokenKind) -> Expression | Place:
        """Read commands up to *closing*; each gets the value of the one before as its last argument."""
        value: Expression | Place | None = None
        while True:
            value = self._command(value)
            token = self._take()
            if token.kind is closing:
                return value
            if token.kind is TokenKind.CLOSE:
                raise Fault(token.offset, "unclosed left paren")
            if token.kind is TokenKind.RIGHT:
                raise Fault(token.offset, "unexpected right paren")

    def _command(self, piped: Expression | Place | None) -> Expression | Place:
        operands: list[Operand] = []
        while self._peek_after_blanks().kind not in _ENDS:
            operands.append(self._operand(self._take()))
        if not operands:
            raise Fault(self._peek().offset, "missing value for command")
        head, *arguments = operands
        if piped is not None:
            arguments.append(piped)
        if isinstance(head, Function):
            return call(head, arguments)
        if arguments:
            raise Fault(head.offset, "can't give argument to non-function: a command begins with one")
        return head

    def _operand(self, token: Token) -> Operand:
        """Read one operand and the fields that follow it without a blank."""
        operand = self._term(token)
        while self._peek().kind is TokenKind.FIELD:
            operand = _step(operand, self._take())
        after = self._peek()
        if after.kind is not TokenKind.SPACE and after.kind not in _ENDS:
            words = f"unexpected {shown(after.text)!r} in operand"
            if after.kind is TokenKind.NUMBER and token.kind is TokenKind.FIELD:
                hint = 'a name with other signs than letters and digits is written (index .Secrets "NAME")'
                words = f"{words}: {hint}"
            raise Fault(after.offset, words)
        return operand

    def _term(self, token: Token) -> Operand:
        match token.kind:
            case TokenKind.STRING | TokenKind.RAW_STRING | TokenKind.NUMBER:
                return _constant(token)
            case TokenKind.WORD if token.text in ("true", "false"):
                return Literal(value=token.text == "true", type=Type.TRUTH, offset=token.offset)
            case TokenKind.WORD if token.text in known_words(self._target):
                return Function(token.text, token.offset)
            case TokenKind.WORD:
                mistaken = Mistaken(token.text, known_words(self._target))
                raise Fault(token.offset, why_not_word(token.text, self._target), mistaken)
            case TokenKind.FIELD:
                return _step(Place(Node.DATA, token.offset), token)
            case TokenKind.LEFT:
                return self._parenthesised(token)
            case TokenKind.DOT:
                raise Fault(token.offset, "the dot alone is everything at once: write .Secrets.NAME")
            case _:
                raise Fault(token.offset, why_not_sign(token.text))

    def _parenthesised(self, left: Token) -> Expression | Place:
        if self._depth >= MAX_TEMPLATE_DEPTH:
            raise Fault(left.offset, f"more than {MAX_TEMPLATE_DEPTH} parentheses deep")
        self._depth += 1
        value = self._pipeline(TokenKind.RIGHT)
        self._depth -= 1
        return value

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _peek_after_blanks(self) -> Token:
        while self._peek().kind is TokenKind.SPACE:
            self._next += 1
        return self._peek()


def _step(operand: Operand, token: Token) -> Expression | Place:
    return step(operand, token.text.removeprefix("."), token.offset)


def _constant(token: Token) -> Literal:
    try:
        if token.kind is TokenKind.NUMBER:
            return Literal(value=read_integer(token.text), type=Type.INTEGER, offset=token.offset)
        read = read_string if token.kind is TokenKind.STRING else read_raw_string
        return Literal(value=read(token.text), type=Type.TEXT, offset=token.offset)
    except ValueError as error:
        raise Fault(token.offset, f"{shown(token.text)}: {error}") from error
