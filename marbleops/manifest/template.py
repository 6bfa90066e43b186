"""The templates of files and environment variables: ``{{ FUNC .PATH }}`` and nothing else.

MarbleRun runs Go's ``text/template``; its documents and samples use only this form (marblerun-core 5.6 and
13.10). Anything beyond it is refused when a manifest is set, with its place and reason. Known are white
space inside the braces, trim markers, and the functions raw, hex, base64, pem and string.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from marbleops.manifest.issues import Issues
from marbleops.manifest.position import JsonPath, decode_text, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from marbleops.manifest.model import File, Manifest, Marble, Secret

_OPEN: Final = b"{{"
_CLOSE: Final = b"}}"
_BLANK: Final = b" \t\r\n"
_ACTION: Final = re.compile(r"([A-Za-z_]\w*)[ \t\r\n]+((?:\.[^\W\d]\w*)+)")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
_TRIM: Final = re.compile(rb"(-(?=[ \t\r\n]))?(.*?)((?<=[ \t\r\n])-)?", re.DOTALL)
_PEM_LINE: Final = 64
_DUMMY: Final = b"\x41"


class Target(StrEnum):
    """Where the text goes; each has its own functions."""

    FILE = "file"
    ENV = "env"


FUNCTIONS: Final = {
    Target.FILE: ("raw", "hex", "base64", "pem"),
    Target.ENV: ("hex", "base64", "pem", "string"),
}


class Root(StrEnum):
    """Where a path begins."""

    SECRETS = "Secrets"
    PREVIOUS = "Previous"
    MARBLERUN = "MarbleRun"


class Kind(StrEnum):
    """What a path ends at."""

    SECRET = "secret"  # noqa: S105 - a word of the template language
    CERTIFICATE = "certificate"
    PUBLIC = "public"
    PRIVATE = "private"


_FIELDS: Final = {"Cert": Kind.CERTIFICATE, "Public": Kind.PUBLIC, "Private": Kind.PRIVATE}
_PEM_LABELS: Final = {
    Kind.CERTIFICATE: "CERTIFICATE",
    Kind.PUBLIC: "PUBLIC KEY",
    Kind.PRIVATE: "PRIVATE KEY",
}

RESERVED: Final = {
    "RootCA": frozenset({Kind.CERTIFICATE}),
    "MarbleCert": frozenset({Kind.CERTIFICATE, Kind.PUBLIC, Kind.PRIVATE}),
    "CoordinatorRoot": frozenset({Kind.CERTIFICATE}),
    "CoordinatorIntermediate": frozenset({Kind.CERTIFICATE}),
}
"""The reserved secrets under ``.MarbleRun`` and the parts they have (marblerun-core 1.10)."""


class TemplateError(Exception):
    """A template that is refused, or that meets a value it cannot write; with its own line and column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column} of the template: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path like ``.Secrets.NAME``, ``.Previous.Secrets.NAME.Cert`` or ``.MarbleRun.RootCA.Cert``."""

    root: Root
    name: str
    kind: Kind = Kind.SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValue:
    """A secret as templates see it. ``kind`` says which part is meant; the private part is never shown."""

    kind: Kind = Kind.SECRET
    type: str = ""
    cert: bytes = field(default=b"", repr=False)
    public: bytes = field(default=b"", repr=False)
    private: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One ``{{ FUNC .PATH }}`` and where it stands in the template."""

    function: str
    path: Path
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed template: literal bytes and actions, in order."""

    target: Target
    parts: tuple[bytes | Action, ...]

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions alone."""
        return tuple(part for part in self.parts if isinstance(part, Action))

    def references(self) -> frozenset[str]:
        """Names of the secrets it reads, current or previous; the reserved ones are not among them."""
        return frozenset(
            action.path.name for action in self.actions if action.path.root is not Root.MARBLERUN
        )


def parse_template(text: bytes, *, target: Target) -> Template:
    """Parse a template.

    Raises:
        TemplateError: it holds anything but literals and ``{{ FUNC .PATH }}``.
    """
    parts: list[bytes | Action] = []
    place = _Place()
    offset, trim = 0, False
    while True:
        start = text.find(_OPEN, offset)
        literal = text[offset : len(text) if start < 0 else start]
        if trim:
            literal = literal.lstrip(_BLANK)
        if start < 0:
            parts.append(literal)
            break
        end = text.find(_CLOSE, start)
        if end < 0:
            raise _error(text, start, "unclosed action")
        line_column = place.advance(text, start)
        inner, trim_before, trim = _trim_markers(text[start + 2 : end])
        parts.append(literal.rstrip(_BLANK) if trim_before else literal)
        parts.append(_action(text, start, inner, target, line_column))
        offset = end + 2
    return Template(target=target, parts=tuple(part for part in parts if part != b""))


def render(template: Template, resolve: Callable[[Path], TemplateValue]) -> bytes:
    """Write the template with the values that *resolve* gives: a whole secret, or the part of the path.

    Raises:
        TemplateError: a value is empty or not of the kind that the function takes.
        KeyError: whatever *resolve* raises for a path it does not know.
    """
    written = bytearray()
    for part in template.parts:
        written += part if isinstance(part, bytes) else _write(part, resolve(part.path))
    return bytes(written)


def dry_run(manifest: Manifest) -> None:
    """Parse every template of *manifest* and render it with dummy values (marblerun-core 1.10).

    Raises:
        ManifestError: a template is refused, reads a secret that is not there or a part it does not have, or
            an environment variable holds a NUL byte.
    """
    issues = Issues(decode_text(manifest.raw)[0])
    for name, marble in manifest.marbles.items():
        for path, words, entry, target in _entries(name, marble):
            if target is Target.ENV and b"\0" in entry.data:
                issues.invalid(path, f"in Marble {shown(name)}: {words}: content contains null bytes")
            elif not entry.no_templates:
                try:
                    _try_out(manifest, parse_template(entry.data, target=target))
                except TemplateError as error:
                    issues.invalid(path, f"in Marble {shown(name)}: {words}: {error}")
                except _UnknownSecretError as error:
                    message = f"in Marble {shown(name)}: {words}: secret does not exist: {shown(error.name)}"
                    issues.invalid(path, message, hint=issues.nearest(error.name, manifest.secrets))
    issues.raise_if_any()


def marble_templates(marble: Marble) -> tuple[Template, ...]:
    """Parse every template of one marble, files first.

    Raises:
        TemplateError: one of them is refused (``dry_run`` has said so when the manifest was set).
    """
    return tuple(
        parse_template(entry.data, target=target)
        for _, _, entry, target in _entries("", marble)
        if not entry.no_templates
    )


def _trim_markers(inner: bytes) -> tuple[bytes, bool, bool]:
    """Take ``-`` off both ends where a blank stands beside it, as Go has it: ``{{- `` and `` -}}``."""
    match = _TRIM.fullmatch(inner)
    assert match is not None, "the pattern matches everything"
    return match[2], match[1] is not None, match[3] is not None


def _action(text: bytes, start: int, inner: bytes, target: Target, place: tuple[int, int]) -> Action:
    try:
        written = inner.decode().strip(_BLANK.decode())
    except UnicodeDecodeError as error:
        raise _error(text, start, "an action is UTF-8") from error
    match = _ACTION.fullmatch(written)
    function = match.group(1) if match else ""
    if match is None or function not in FUNCTIONS[target]:
        raise _error(text, start, _why_not(written, target))
    line, column = place
    path = _path(match.group(2).split(".")[1:], text, start)
    return Action(function=function, path=path, line=line, column=column)


def _why_not(written: str, target: Target) -> str:
    """Say why an action is refused, in Go's words where it would refuse it too."""
    known = ", ".join(FUNCTIONS[target])
    head = _IDENTIFIER.match(written)
    if not written:
        return "missing value for command"
    if head is not None and _ACTION.fullmatch(written):
        place = "a file" if target is Target.FILE else "an environment variable"
        return f'function "{shown(head.group())}" not defined for {place}: it has {known}'
    return f"'{shown(written)}' is not {{{{ FUNC .PATH }}}} with FUNC one of {known}"


def _path(names: list[str], text: bytes, start: int) -> Path:
    """Read the names of a path. ``.Previous`` leads to ``.Secrets`` only."""
    root, rest = names[0], names[1:]
    if root == Root.PREVIOUS and rest[:1] == [Root.SECRETS.value]:
        rest = rest[1:]
    elif root not in (Root.SECRETS, Root.MARBLERUN):
        known = ".Secrets.NAME, .Previous.Secrets.NAME or .MarbleRun.NAME"
        raise _error(text, start, f"'.{shown('.'.join(names))}' is not a path: it begins {known}")
    if not rest:
        raise _error(text, start, "the path names no secret")
    if len(rest) > 2 or (len(rest) == 2 and rest[1] not in _FIELDS):
        raise _error(text, start, f"'{shown(rest[1])}' is not a part of a secret: Cert, Public or Private")
    if root == Root.MARBLERUN and rest[0] not in RESERVED:
        known = ", ".join(RESERVED)
        raise _error(text, start, f"'{shown(rest[0])}' is not a reserved secret: {known}")
    kind = _FIELDS[rest[1]] if len(rest) == 2 else Kind.SECRET
    return Path(root=Root(root), name=rest[0], kind=kind)


def _write(action: Action, value: TemplateValue) -> bytes:
    kind = action.path.kind if value.kind is Kind.SECRET else value.kind
    content = {Kind.CERTIFICATE: value.cert, Kind.PRIVATE: value.private}.get(kind, value.public)
    if action.function == "string":
        _check_string(action, kind, value)
    if action.function == "pem" and kind is Kind.SECRET:
        raise _unwritable(action, "invalid secret type for pem encoding")
    if not content:
        raise _unwritable(action, "tried to parse secret with empty value")
    match action.function:
        case "hex":
            return content.hex().encode()
        case "base64":
            return base64.b64encode(content)
        case "pem":
            return _pem(_PEM_LABELS[kind], content)
        case _:
            return content


def _check_string(action: Action, kind: Kind, value: TemplateValue) -> None:
    if kind is not Kind.SECRET or value.type != "plain":
        message = "only secrets of type plain are allowed to use string encoding for environment variables"
        raise _unwritable(action, message)
    if b"\0" in value.public:
        raise _unwritable(action, "secret contains null bytes")


def _unwritable(action: Action, message: str) -> TemplateError:
    return TemplateError(message, action.line, action.column)


def _pem(label: str, content: bytes) -> bytes:
    body = base64.b64encode(content).decode()
    lines = [body[index : index + _PEM_LINE] for index in range(0, len(body), _PEM_LINE)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


class _Place:
    """Line and column of offsets that only grow: a template of many actions is counted through once."""

    def __init__(self) -> None:
        self._offset = 0
        self._line = 1
        self._start = 0

    def advance(self, text: bytes, offset: int) -> tuple[int, int]:
        self._line += text.count(b"\n", self._offset, offset)
        self._start = max(self._start, text.rfind(b"\n", self._offset, offset) + 1)
        self._offset = offset
        return self._line, offset - self._start + 1


def _error(text: bytes, offset: int, message: str) -> TemplateError:
    return TemplateError(message, *_place(text, offset))


def _place(text: bytes, offset: int) -> tuple[int, int]:
    return text.count(b"\n", 0, offset) + 1, offset - (text.rfind(b"\n", 0, offset) + 1) + 1


class _UnknownSecretError(Exception):
    """A template reads a secret that the manifest does not define."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _entries(name: str, marble: Marble) -> Iterator[tuple[JsonPath, str, File, Target]]:
    path = ("Marbles", name, "Parameters")
    for key, entry in marble.parameters.files.items():
        yield (*path, "Files", key), f"file {shown(key)}", entry, Target.FILE
    for key, entry in marble.parameters.env.items():
        yield (*path, "Env", key), f"env variable {shown(key)}", entry, Target.ENV


def _try_out(manifest: Manifest, template: Template) -> None:
    def value(path: Path) -> TemplateValue:
        if path.root is Root.MARBLERUN:
            return _reserved(path.name)
        if path.name not in manifest.secrets:
            raise _UnknownSecretError(path.name)
        return _dummy(manifest.secrets[path.name])

    render(template, value)


def _reserved(name: str) -> TemplateValue:
    parts = RESERVED[name]
    return TemplateValue(
        cert=_DUMMY if Kind.CERTIFICATE in parts else b"",
        public=_DUMMY if Kind.PUBLIC in parts else b"",
        private=_DUMMY if Kind.PRIVATE in parts else b"",
    )


def _dummy(secret: Secret) -> TemplateValue:
    """Stand in for a secret: a user-defined one has every part, a generated key no certificate."""
    has_certificate = secret.user_defined or secret.type.startswith("cert-")
    return TemplateValue(
        type=secret.type, cert=_DUMMY if has_certificate else b"", public=_DUMMY, private=_DUMMY
    )
