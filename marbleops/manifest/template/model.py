"""What templates are made of: where they go, what they read, what they call (marblerun-core 5.6).

A template has no control flow, so the type of every expression is known when it is read. There are only
three kinds of expressions, and a reading names its secret: nothing is looked up by a computed name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from marbleops.manifest.model import Secret


class Target(StrEnum):
    """Where the text goes; each has its own functions."""

    FILE = "file"
    ENV = "env"


class Root(StrEnum):
    """Where a path begins."""

    SECRETS = "Secrets"
    PREVIOUS = "Previous"
    MARBLERUN = "MarbleRun"


class Kind(StrEnum):
    """What a path ends at: a whole secret, a part of it, or a field of its definition."""

    SECRET = "secret"  # noqa: S105 - a word of the template language
    CERTIFICATE = "Cert"
    PUBLIC = "Public"
    PRIVATE = "Private"
    TYPE = "Type"
    SIZE = "Size"
    SHARED = "Shared"
    USER_DEFINED = "UserDefined"
    VALID_FOR = "ValidFor"


PARTS: Final = frozenset({Kind.CERTIFICATE, Kind.PUBLIC, Kind.PRIVATE})
"""The parts that hold what the secret is worth. The other fields stand in the manifest for all to see."""

FIELDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {kind.value: kind for kind in Kind if kind is not Kind.SECRET}
)
"""Fields of a secret by their names in a path."""

RESERVED: Final = MappingProxyType(
    {
        "RootCA": frozenset({Kind.CERTIFICATE}),
        "MarbleCert": PARTS,
        "CoordinatorRoot": frozenset({Kind.CERTIFICATE}),
        "CoordinatorIntermediate": frozenset({Kind.CERTIFICATE}),
    }
)
"""The reserved secrets under ``.MarbleRun`` and the parts they have (marblerun-core 1.10)."""


class Type(StrEnum):
    """What an expression gives."""

    TEXT = "a text"
    INTEGER = "an integer"
    TRUTH = "true or false"
    SECRET = "a whole secret"  # noqa: S105 - words of a message
    CERTIFICATE = "a certificate"
    PUBLIC = "a public key"
    PRIVATE = "a private key"


@dataclass(frozen=True, slots=True)
class Mistaken:
    """A name that is not known, and those that are: enough to say which one was meant."""

    name: str
    known: tuple[str, ...]


class Fault(Exception):  # noqa: N818 - a note on the way to ``TemplateError``, which knows the line
    """Something is wrong at *offset* of a template; only inside this package."""

    def __init__(self, offset: int, message: str, mistaken: Mistaken | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.mistaken = mistaken


class TemplateError(Exception):
    """A template that is refused, or that meets a value it cannot write; with its own line and column."""

    def __init__(self, message: str, line: int, column: int, mistaken: Mistaken | None = None) -> None:
        super().__init__(f"line {line}, column {column} of the template: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.mistaken = mistaken

    @classmethod
    def at(cls, source: bytes, fault: Fault) -> TemplateError:
        """Make the error of a fault in *source*; columns count bytes."""
        start = source.rfind(b"\n", 0, fault.offset) + 1
        line = source.count(b"\n", 0, fault.offset) + 1
        return cls(fault.message, line, fault.offset - start + 1, fault.mistaken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path like ``.Secrets.NAME``, ``.Previous.Secrets.NAME.Cert`` or ``.MarbleRun.RootCA.Cert``."""

    root: Root
    name: str
    kind: Kind = Kind.SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValue:
    """A secret as templates see it; what it is worth is never shown.

    ``definition`` answers for Size, Shared, UserDefined and ValidFor: without it they cannot be written.
    """

    type: str = ""
    cert: bytes = field(default=b"", repr=False)
    public: bytes = field(default=b"", repr=False)
    private: bytes = field(default=b"", repr=False)
    definition: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A constant."""

    value: bytes | int
    type: Type
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A secret, or a field of one."""

    path: Path
    type: Type
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of one argument. ``index`` is the number behind ``index``, and ``None`` elsewhere."""

    function: str
    argument: Expression
    type: Type
    offset: int
    index: int | None = None


Expression = Literal | Read | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What of a secret ends up in the text. ``only`` is empty where all of the path does.

    Otherwise it says which little: the length or one byte, as the calls of ``len`` and ``index`` around it.
    """

    path: Path
    only: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed template: literal bytes and expressions, in order."""

    target: Target
    parts: tuple[bytes | Expression, ...]
    source: bytes = field(repr=False)

    def readings(self) -> frozenset[Reading]:
        """Everything it reads, the reserved secrets and the fields of definitions too."""
        return frozenset(
            reading for part in self.parts if not isinstance(part, bytes) for reading in _readings(part)
        )

    def references(self) -> frozenset[str]:
        """Names of the secrets it reads, current or previous; the reserved ones are not among them."""
        return frozenset(
            reading.path.name for reading in self.readings() if reading.path.root is not Root.MARBLERUN
        )


def _readings(expression: Expression) -> Iterator[Reading]:
    """Follow the calls down to the path, keeping in mind whether only a little of it comes out."""
    calls: list[str] = []
    while isinstance(expression, Call):
        if calls or expression.function in ("len", "index"):
            index = "" if expression.index is None else f" {expression.index}"
            calls.append(expression.function + index)
        expression = expression.argument
    if isinstance(expression, Read):
        yield Reading(path=expression.path, only=" ".join(calls))
