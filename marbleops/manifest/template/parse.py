"""From a template's bytes to typed expressions, or to the reason why not.

A strict reader of a subset of Go's grammar: pipelines, parentheses, constants, paths, and functions found in
tables. Every path is resolved here, so that it is known which secrets a template reads before any is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marbleops.manifest.limits import (
    MAX_CACHED_TEMPLATE_BYTES,
    MAX_TEMPLATE_ACTIONS,
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATE_DEPTH,
)
from marbleops.manifest.position import shown
from marbleops.manifest.template.constructs import (
    BUILT_INS,
    FUNCTIONS,
    known_words,
    why_not_sign,
    why_not_word,
)
from marbleops.manifest.template.lexer import OPEN, Action, Token, TokenKind, split
from marbleops.manifest.template.literals import read_integer, read_raw_string, read_string
from marbleops.manifest.template.model import (
    FIELDS,
    RESERVED,
    Call,
    Expression,
    Kind,
    Literal,
    Mistaken,
    Path,
    Read,
    Root,
    Target,
    Template,
    TemplateError,
    Type,
    error_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ENDS: Final = frozenset({TokenKind.PIPE, TokenKind.RIGHT, TokenKind.CLOSE})
_TYPES: Final[Mapping[Kind, Type]] = MappingProxyType(
    {
        Kind.SECRET: Type.SECRET,
        Kind.CERTIFICATE: Type.CERTIFICATE,
        Kind.PUBLIC: Type.PUBLIC,
        Kind.PRIVATE: Type.PRIVATE,
        Kind.TYPE: Type.TEXT,
        Kind.SIZE: Type.INTEGER,
        Kind.VALID_FOR: Type.INTEGER,
        Kind.SHARED: Type.TRUTH,
        Kind.USER_DEFINED: Type.TRUTH,
    }
)
_WORTH: Final = frozenset({Type.SECRET, Type.CERTIFICATE, Type.PUBLIC, Type.PRIVATE})
_BYTES: Final = frozenset({Type.TEXT, Type.PUBLIC, Type.PRIVATE})
_PRINTED: Final = frozenset(Type) - {Type.SECRET, Type.CERTIFICATE}
_INVALID: Final = "invalid secret type"
_TAKES: Final[Mapping[str, tuple[frozenset[Type], Type, str]]] = MappingProxyType(
    {
        "raw": (_WORTH, Type.TEXT, _INVALID),
        "hex": (_WORTH, Type.TEXT, _INVALID),
        "base64": (_WORTH, Type.TEXT, _INVALID),
        "pem": (_WORTH - {Type.SECRET}, Type.TEXT, "invalid secret type for pem encoding"),
        "string": (
            frozenset({Type.SECRET}),
            Type.TEXT,
            "only secrets of type plain are allowed to use string encoding for environment variables",
        ),
        "len": (_BYTES, Type.INTEGER, "len takes a text or the Public or Private part of a secret"),
    }
)
"""Of each function of one argument: what it takes, what it gives, and why it takes nothing else."""


class _Node(StrEnum):
    """Where a path may stand before it names a secret."""

    DATA = "."
    PREVIOUS = ".Previous"
    SECRETS = ".Secrets"
    PREVIOUS_SECRETS = ".Previous.Secrets"
    MARBLERUN = ".MarbleRun"


_BELOW: Final[Mapping[_Node, Mapping[str, _Node]]] = MappingProxyType(
    {
        _Node.DATA: MappingProxyType(
            {"Secrets": _Node.SECRETS, "Previous": _Node.PREVIOUS, "MarbleRun": _Node.MARBLERUN}
        ),
        _Node.PREVIOUS: MappingProxyType({"Secrets": _Node.PREVIOUS_SECRETS}),
    }
)
_ROOTS: Final[Mapping[_Node, Root]] = MappingProxyType(
    {
        _Node.SECRETS: Root.SECRETS,
        _Node.PREVIOUS_SECRETS: Root.PREVIOUS,
        _Node.MARBLERUN: Root.MARBLERUN,
    }
)
_MAPS: Final = frozenset({_Node.SECRETS, _Node.PREVIOUS_SECRETS})


@dataclass(frozen=True, slots=True)
class _Place:
    """A path that names no secret yet."""

    node: _Node
    offset: int


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    offset: int


_Operand = Expression | _Place | _Function


def parse_template(text: bytes, *, target: Target) -> Template:
    """Parse a template.

    Raises:
        TemplateError: it is not of our subset of Go's language, or over a bound of ``limits``.
    """
    if OPEN not in text:
        return Template(target=target, parts=(text,) if text else (), source=text)
    return (_parse_again if len(text) <= MAX_CACHED_TEMPLATE_BYTES else _parse)(text, target)


def _parse(text: bytes, target: Target) -> Template:
    if len(text) > MAX_TEMPLATE_BYTES:
        raise error_at(text, 0, f"the template has more than {MAX_TEMPLATE_BYTES} bytes")
    parts: list[bytes | Expression] = []
    actions = 0
    for piece in split(text):
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        actions += 1
        if actions > MAX_TEMPLATE_ACTIONS:
            raise error_at(text, piece.offset, f"more than {MAX_TEMPLATE_ACTIONS} actions in one template")
        parts.append(_Reader(text, target, piece).read())
    return Template(target=target, parts=tuple(parts), source=text)


_parse_again = lru_cache(maxsize=256)(_parse)
"""The same few templates are rendered for every marble; a parsed one holds no secret and never changes."""


class _Reader:
    """Reads the tokens of one action."""

    def __init__(self, source: bytes, target: Target, action: Action) -> None:
        self._source = source
        self._target = target
        self._tokens = action.tokens
        self._next = 0
        self._depth = 0

    def read(self) -> Expression:
        """Read the whole action: one pipeline whose value can be written."""
        value = self._pipeline(TokenKind.CLOSE)
        if isinstance(value, _Place):
            raise self._names_no_secret(value)
        if value.type not in _PRINTED:
            functions = ", ".join(FUNCTIONS[self._target])
            raise self._error(value.offset, f"{value.type} is not written as it is: use one of {functions}")
        return value

    def _pipeline(self, closing: TokenKind) -> Expression | _Place:
        """Read commands up to *closing*; each gets the value of the one before as its last argument."""
        value: Expression | _Place | None = None
        while True:
            value = self._command(value)
            token = self._take()
            if token.kind is closing:
                return value
            if token.kind is TokenKind.CLOSE:
                raise self._error(token.offset, "unclosed left paren")
            if token.kind is TokenKind.RIGHT:
                raise self._error(token.offset, "unexpected right paren")

    def _command(self, piped: Expression | _Place | None) -> Expression | _Place:
        operands: list[_Operand] = []
        while self._peek_after_blanks().kind not in _ENDS:
            operands.append(self._operand(self._take()))
        if not operands:
            raise self._error(self._peek().offset, "missing value for command")
        head, *arguments = operands
        if piped is not None:
            arguments.append(piped)
        if isinstance(head, _Function):
            return self._call(head, arguments)
        if arguments:
            raise self._error(head.offset, "can't give argument to non-function: a command begins with one")
        return head

    def _operand(self, token: Token) -> _Operand:
        """Read one operand and the fields that follow it without a blank."""
        operand = self._term(token)
        while self._peek().kind is TokenKind.FIELD:
            operand = self._field(operand, self._take())
        after = self._peek()
        if after.kind is not TokenKind.SPACE and after.kind not in _ENDS:
            words = f"unexpected {shown(after.text)!r} in operand"
            if after.kind is TokenKind.NUMBER and token.kind is TokenKind.FIELD:
                words += (
                    ': a name with other signs than letters and digits is written (index .Secrets "NAME")'
                )
            raise self._error(after.offset, words)
        return operand

    def _term(self, token: Token) -> _Operand:
        match token.kind:
            case TokenKind.STRING | TokenKind.RAW_STRING | TokenKind.NUMBER:
                return self._constant(token)
            case TokenKind.WORD if token.text in ("true", "false"):
                return Literal(value=token.text == "true", type=Type.TRUTH, offset=token.offset)
            case TokenKind.WORD if token.text in FUNCTIONS[self._target] or token.text in BUILT_INS:
                return _Function(token.text, token.offset)
            case TokenKind.WORD:
                mistaken = Mistaken(token.text, known_words(self._target))
                raise self._error(token.offset, why_not_word(token.text, self._target), mistaken)
            case TokenKind.FIELD:
                return self._field(_Place(_Node.DATA, token.offset), token)
            case TokenKind.LEFT:
                return self._parenthesised(token)
            case TokenKind.DOT:
                raise self._error(token.offset, "the dot alone is everything at once: write .Secrets.NAME")
            case _:
                raise self._error(token.offset, why_not_sign(token.text))

    def _parenthesised(self, left: Token) -> Expression | _Place:
        if self._depth >= MAX_TEMPLATE_DEPTH:
            raise self._error(left.offset, f"more than {MAX_TEMPLATE_DEPTH} parentheses deep")
        self._depth += 1
        value = self._pipeline(TokenKind.RIGHT)
        self._depth -= 1
        return value

    def _constant(self, token: Token) -> Literal:
        try:
            if token.kind is TokenKind.NUMBER:
                return Literal(value=read_integer(token.text), type=Type.INTEGER, offset=token.offset)
            read = read_string if token.kind is TokenKind.STRING else read_raw_string
            return Literal(value=read(token.text), type=Type.TEXT, offset=token.offset)
        except ValueError as error:
            raise self._error(token.offset, f"{shown(token.text)}: {error}") from error

    def _field(self, operand: _Operand, token: Token) -> Expression | _Place:
        """Take one step along a path."""
        name = token.text.removeprefix(".")
        if isinstance(operand, _Place):
            return self._below(operand, name, token.offset)
        if isinstance(operand, Read) and operand.path.kind is Kind.SECRET:
            kind = FIELDS.get(name)
            if kind is None:
                raise self._unknown(token.offset, name, "a field of a secret", FIELDS)
            path = Path(root=operand.path.root, name=operand.path.name, kind=kind)
            return Read(path=path, type=_TYPES[kind], offset=operand.offset)
        what = "a function" if isinstance(operand, _Function) else operand.type
        raise self._error(token.offset, f"unexpected .{shown(name)}: {what} has no fields")

    def _below(self, place: _Place, name: str, offset: int) -> Expression | _Place:
        if place.node in _ROOTS:
            return self._secret(place, name, offset)
        below = _BELOW[place.node]
        if name not in below:
            raise self._unknown(
                offset, name, "a path", [f"{place.node.rstrip('.')}.{step}" for step in below]
            )
        return _Place(below[name], place.offset)

    def _secret(self, place: _Place, name: str, offset: int) -> Read:
        if place.node is _Node.MARBLERUN and name not in RESERVED:
            raise self._unknown(offset, name, "a reserved secret", RESERVED)
        return Read(path=Path(root=_ROOTS[place.node], name=name), type=Type.SECRET, offset=place.offset)

    def _call(self, function: _Function, arguments: list[_Operand]) -> Expression:
        wanted = 2 if function.name == "index" else 1
        if len(arguments) != wanted:
            words = f"wrong number of args for {function.name}: want {wanted} got {len(arguments)}"
            raise self._error(function.offset, words)
        argument = arguments[0]
        if isinstance(argument, _Function):
            raise self._error(argument.offset, "a call that is an argument stands in parentheses")
        if function.name == "index":
            return self._index(function, argument, arguments[1])
        if isinstance(argument, _Place):
            raise self._names_no_secret(argument)
        takes, gives, words = _TAKES[function.name]
        if argument.type not in takes:
            raise self._error(argument.offset, words)
        return Call(function=function.name, argument=argument, type=gives, offset=function.offset)

    def _index(self, function: _Function, of: Expression | _Place, key: _Operand) -> Expression:
        """Take a secret out of a map, or a byte out of a value; the key is a constant: nothing is hidden."""
        if not isinstance(key, Literal):
            raise self._error(key.offset, "the key of index is a constant: a text in quotes, or a number")
        if isinstance(of, _Place):
            if of.node not in _MAPS:
                raise self._error(of.offset, f"can't index {of.node}: write {of.node.rstrip('.')}.NAME")
            return self._secret(of, self._name(key), key.offset)
        if of.type not in _BYTES:
            raise self._error(of.offset, f"can't index {of.type}")
        if key.type is not Type.INTEGER or not isinstance(key.value, int):
            raise self._error(key.offset, f"cannot index {of.type} with {key.type}")
        if key.value < 0:
            raise self._error(key.offset, f"index out of range: {key.value}")
        return Call(function="index", argument=of, type=Type.INTEGER, offset=function.offset, index=key.value)

    def _name(self, key: Literal) -> str:
        try:
            if isinstance(key.value, bytes):
                return key.value.decode()
        except UnicodeDecodeError as error:
            raise self._error(key.offset, "the name of a secret is UTF-8") from error
        raise self._error(key.offset, f"the name of a secret is a text in quotes, not {key.type}")

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

    def _error(self, offset: int, message: str, mistaken: Mistaken | None = None) -> TemplateError:
        return error_at(self._source, offset, message, mistaken)

    def _names_no_secret(self, place: _Place) -> TemplateError:
        return self._error(place.offset, f"the path {place.node} names no secret")

    def _unknown(self, offset: int, name: str, what: str, known: Iterable[str]) -> TemplateError:
        mistaken = Mistaken(name, tuple(known))
        words = f"'{shown(name)}' is not {what}: known are {', '.join(mistaken.known)}"
        return self._error(offset, words, mistaken)
