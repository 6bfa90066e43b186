"""What the words of an action mean: where paths lead, what functions take and give (marblerun-core 5.6).

Every path is resolved here, so that it is known which secrets a template reads before any is there, and every
type is checked here, so that a wrong one is found when a manifest is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marbleops.manifest.position import shown
from marbleops.manifest.template.constructs import FUNCTIONS
from marbleops.manifest.template.model import (
    FIELDS,
    RESERVED,
    Call,
    Expression,
    Fault,
    Kind,
    Literal,
    Mistaken,
    Path,
    Read,
    Root,
    Target,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a function of one argument takes, what it gives, and why it takes nothing else."""

    takes: frozenset[Type]
    gives: Type
    refusal: str


_ENCODES: Final = _Signature(_WORTH, Type.TEXT, "invalid secret type")
_SIGNATURES: Final[Mapping[str, _Signature]] = MappingProxyType(
    {
        "raw": _ENCODES,
        "hex": _ENCODES,
        "base64": _ENCODES,
        "pem": _Signature(_WORTH - {Type.SECRET}, Type.TEXT, "invalid secret type for pem encoding"),
        "string": _Signature(
            frozenset({Type.SECRET}),
            Type.TEXT,
            "only secrets of type plain are allowed to use string encoding for environment variables",
        ),
        "len": _Signature(_BYTES, Type.INTEGER, "len takes a text or the Public or Private part of a secret"),
    }
)


class Node(StrEnum):
    """Where a path may stand before it names a secret."""

    DATA = "."
    PREVIOUS = ".Previous"
    SECRETS = ".Secrets"
    PREVIOUS_SECRETS = ".Previous.Secrets"
    MARBLERUN = ".MarbleRun"


_BELOW: Final[Mapping[Node, Mapping[str, Node]]] = MappingProxyType(
    {
        Node.DATA: MappingProxyType(
            {"Secrets": Node.SECRETS, "Previous": Node.PREVIOUS, "MarbleRun": Node.MARBLERUN}
        ),
        Node.PREVIOUS: MappingProxyType({"Secrets": Node.PREVIOUS_SECRETS}),
    }
)
_ROOTS: Final[Mapping[Node, Root]] = MappingProxyType(
    {Node.SECRETS: Root.SECRETS, Node.PREVIOUS_SECRETS: Root.PREVIOUS, Node.MARBLERUN: Root.MARBLERUN}
)
_MAPS: Final = frozenset({Node.SECRETS, Node.PREVIOUS_SECRETS})


@dataclass(frozen=True, slots=True)
class Place:
    """A path that names no secret yet."""

    node: Node
    offset: int


@dataclass(frozen=True, slots=True)
class Function:
    """The name of a function, before it is known what it is given."""

    name: str
    offset: int


Operand = Expression | Place | Function


def printable(value: Expression | Place, target: Target) -> Expression:
    """Return the value of an action that can be written.

    Raises:
        Fault: it is a whole secret, a certificate, or no value at all.
    """
    if isinstance(value, Place):
        raise _names_no_secret(value)
    if value.type not in _PRINTED:
        words = f"{value.type} is not written as it is: use one of {', '.join(FUNCTIONS[target])}"
        raise Fault(value.offset, words)
    return value


def step(operand: Operand, name: str, offset: int) -> Expression | Place:
    """Take the step *name*, which stands at *offset*, along a path.

    Raises:
        Fault: there is nothing of this name.
    """
    if isinstance(operand, Place):
        return _below(operand, name, offset)
    if isinstance(operand, Read) and operand.path.kind is Kind.SECRET:
        kind = FIELDS.get(name)
        if kind is None:
            raise _unknown(offset, name, "a field of a secret", FIELDS)
        path = Path(root=operand.path.root, name=operand.path.name, kind=kind)
        return Read(path=path, type=_TYPES[kind], offset=operand.offset)
    what = "a function" if isinstance(operand, Function) else operand.type
    raise Fault(offset, f"unexpected .{shown(name)}: {what} has no fields")


def call(function: Function, arguments: Sequence[Operand]) -> Expression:
    """Give *arguments* to a function.

    Raises:
        Fault: their number or a type is wrong, or a key of ``index`` is not constant.
    """
    wanted = 2 if function.name == "index" else 1
    if len(arguments) != wanted:
        words = f"wrong number of args for {function.name}: want {wanted} got {len(arguments)}"
        raise Fault(function.offset, words)
    argument = arguments[0]
    if isinstance(argument, Function):
        raise Fault(argument.offset, "a call that is an argument stands in parentheses")
    if function.name == "index":
        return _index(function, argument, arguments[1])
    if isinstance(argument, Place):
        raise _names_no_secret(argument)
    signature = _SIGNATURES[function.name]
    if argument.type not in signature.takes:
        raise Fault(argument.offset, signature.refusal)
    return Call(function=function.name, argument=argument, type=signature.gives, offset=function.offset)


def _below(place: Place, name: str, offset: int) -> Expression | Place:
    if place.node in _ROOTS:
        return _secret(place, name, offset)
    below = _BELOW[place.node]
    if name not in below:
        raise _unknown(offset, name, "a path", (f"{place.node.rstrip('.')}.{each}" for each in below))
    return Place(below[name], place.offset)


def _secret(place: Place, name: str, offset: int) -> Read:
    if place.node is Node.MARBLERUN and name not in RESERVED:
        raise _unknown(offset, name, "a reserved secret", RESERVED)
    return Read(path=Path(root=_ROOTS[place.node], name=name), type=Type.SECRET, offset=place.offset)


def _index(function: Function, of: Expression | Place, key: Operand) -> Expression:
    """Take a secret out of a map, or a byte out of a value; the key is a constant: nothing is hidden."""
    if not isinstance(key, Literal):
        raise Fault(key.offset, "the key of index is a constant: a text in quotes, or a number")
    if isinstance(of, Place):
        if of.node not in _MAPS:
            raise Fault(of.offset, f"can't index {of.node}: write {of.node.rstrip('.')}.NAME")
        return _secret(of, _name(key), key.offset)
    if of.type not in _BYTES:
        raise Fault(of.offset, f"can't index {of.type}")
    if key.type is not Type.INTEGER or not isinstance(key.value, int):
        raise Fault(key.offset, f"cannot index {of.type} with {key.type}")
    if key.value < 0:
        raise Fault(key.offset, f"index out of range: {key.value}")
    return Call(function="index", argument=of, type=Type.INTEGER, offset=function.offset, index=key.value)


def _name(key: Literal) -> str:
    if not isinstance(key.value, bytes):
        raise Fault(key.offset, f"the name of a secret is a text in quotes, not {key.type}")
    try:
        return key.value.decode()
    except UnicodeDecodeError as error:
        raise Fault(key.offset, "the name of a secret is UTF-8") from error


def _names_no_secret(place: Place) -> Fault:
    return Fault(place.offset, f"the path {place.node} names no secret")


def _unknown(offset: int, name: str, what: str, known: Iterable[str]) -> Fault:
    mistaken = Mistaken(name, tuple(known))
    return Fault(offset, f"'{shown(name)}' is not {what}: known are {', '.join(mistaken.known)}", mistaken)
