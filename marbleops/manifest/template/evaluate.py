"""Write a parsed template with the values of its secrets. What Go's functions do stands in one table each."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marbleops.manifest.limits import MAX_RENDERED_BYTES
from marbleops.manifest.template.model import (
    Call,
    Expression,
    Fault,
    Kind,
    Literal,
    Path,
    Read,
    Template,
    TemplateError,
    TemplateValue,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PEM_LINE: Final = 64
_DEFAULT_DAYS: Final = 365
"""MarbleRun writes it into the definition of a certificate that says nothing else (marblerun-core 5.4)."""

_ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = MappingProxyType(
    {
        "raw": bytes,
        "hex": lambda content: content.hex().encode(),
        "base64": base64.b64encode,
    }
)
_PEM_LABELS: Final = MappingProxyType(
    {Type.CERTIFICATE: "CERTIFICATE", Type.PUBLIC: "PUBLIC KEY", Type.PRIVATE: "PRIVATE KEY"}
)
_WORTH: Final[Mapping[Kind, Callable[[TemplateValue], bytes]]] = MappingProxyType(
    {
        Kind.SECRET: lambda value: value.public,
        Kind.CERTIFICATE: lambda value: value.cert,
        Kind.PUBLIC: lambda value: value.public,
        Kind.PRIVATE: lambda value: value.private,
    }
)


def render(template: Template, resolve: Callable[[Path], TemplateValue]) -> bytes:
    """Write the template with the secrets that *resolve* gives for the paths.

    Raises:
        TemplateError: a value is empty or not of the kind that the function takes, or the text is too long.
        KeyError: whatever *resolve* raises for a path it does not know.
    """
    try:
        return _Writer(template, resolve).write()
    except Fault as fault:
        raise TemplateError.at(template.source, fault) from fault


class _Writer:
    def __init__(self, template: Template, resolve: Callable[[Path], TemplateValue]) -> None:
        self._template = template
        self._resolve = resolve

    def write(self) -> bytes:
        written = bytearray()
        for part in self._template.parts:
            written += part if isinstance(part, bytes) else _printed(part.type, self._value(part))
            if len(written) > MAX_RENDERED_BYTES:
                offset = 0 if isinstance(part, bytes) else part.offset
                raise Fault(offset, f"the text grows beyond {MAX_RENDERED_BYTES} bytes")
        return bytes(written)

    def _value(self, expression: Expression) -> bytes | int:
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Read):
            return self._read(expression)
        content = self._value(expression.argument)
        assert isinstance(content, bytes), "the parser gives functions nothing else"
        return self._call(expression, content)

    def _read(self, read: Read) -> bytes | int:
        value = self._resolve(read.path)
        worth = _WORTH.get(read.path.kind)
        if worth is not None:
            return worth(value)
        if read.path.kind is Kind.TYPE:
            return value.type.encode()
        definition = value.definition
        if definition is None:
            raise Fault(read.offset, f"the {read.path.kind} of this secret is not kept")
        match read.path.kind:
            case Kind.SIZE:
                return definition.size
            case Kind.SHARED:
                return definition.shared
            case Kind.USER_DEFINED:
                return definition.user_defined
        generated = definition.type.startswith("cert-") and not definition.user_defined
        return definition.valid_for or (_DEFAULT_DAYS if generated else 0)

    def _call(self, call: Call, content: bytes) -> bytes | int:
        if call.function == "len":
            return len(content)
        if call.function == "index":
            return self._byte(call, content)
        if call.function == "string":
            self._check_string(call, content)
        if not content:
            raise Fault(call.offset, f"tried to parse secret with empty value{self._whose(call.argument)}")
        if call.function == "pem":
            return _pem(_PEM_LABELS[call.argument.type], content)
        return _ENCODERS["raw" if call.function == "string" else call.function](content)

    def _whose(self, argument: Expression) -> str:
        """Name a secret that somebody has yet to upload."""
        if not isinstance(argument, Read):
            return ""
        definition = self._resolve(argument.path).definition
        if definition is None or not definition.user_defined:
            return ""
        return f": the user-defined secret {argument.path.name} has no value yet"

    def _byte(self, call: Call, content: bytes) -> int:
        assert call.index is not None, "the parser gives index its key"
        if call.index >= len(content):
            raise Fault(call.offset, f"index out of range: {call.index}")
        return content[call.index]

    def _check_string(self, call: Call, content: bytes) -> None:
        assert isinstance(call.argument, Read), "the parser gives string a secret"
        if self._resolve(call.argument.path).type != "plain":
            message = (
                "only secrets of type plain are allowed to use string encoding for environment variables"
            )
            raise Fault(call.offset, message)
        if b"\0" in content:
            raise Fault(call.offset, "secret contains null bytes")


def _printed(kind: Type, value: bytes | int) -> bytes:
    """Print as Go prints: texts as they are, keys as numbers in brackets."""
    if isinstance(value, bytes):
        return value if kind is Type.TEXT else f"[{' '.join(map(str, value))}]".encode()
    if kind is Type.TRUTH:
        return b"true" if value else b"false"
    return str(value).encode()


def _pem(label: str, content: bytes) -> bytes:
    body = base64.b64encode(content).decode()
    lines = [body[index : index + _PEM_LINE] for index in range(0, len(body), _PEM_LINE)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
