"""The little language of the cases: values to be filled in before a request, patterns an answer must fit.

A value or a pattern is JSON; an object with one member whose name begins with ``$`` is a *hole*. ``fill`` replaces
the holes of a value, ``mismatches`` lists where an answer does not fit a pattern. Both know what was captured
before, in a ``Scope``. README.md lists the holes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance.wire.certificates import describe, split_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.wire.users import People

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d{4})"
KINDS = {
    "text": r"(?s).*",
    "base64": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "hex": r"(?:[0-9a-f]{2})+",
    "sha256": r"[0-9a-f]{64}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "time": TIME,
}
IN_TEXT = {"<time>": TIME, "<any>": r"[^\n]*", "<uuid>": KINDS["uuid"], "<sha256>": KINDS["sha256"]}
SHOWN = 300


class CaseError(Exception):
    """A case that cannot be run as it is written."""


@dataclass(slots=True)
class Scope:
    """What one case has captured, and the people of the fixture."""

    people: People
    captured: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """Return what was captured as *name*.

        Raises:
            CaseError: nothing was.
        """
        if name not in self.captured:
            raise CaseError(f"nothing was captured as {name!r}")
        return self.captured[name]


def compact(value: Any) -> str:
    """Write JSON as the cases upload it: no white space, members in the order given."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def go_json(value: Any) -> str:
    """Write JSON as Go's encoder does: compact, with five characters escaped (core 0.1)."""
    text = compact(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


def encode(value: str | bytes) -> str:
    """Write *value* in standard base64."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def decode(text: Any) -> bytes:
    """Read standard base64.

    Raises:
        CaseError: it is none.
    """
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaseError(f"not base64: {str(text)[:SHOWN]!r}") from error


def hole(value: Any) -> tuple[str, Any] | None:
    """Return name and argument if *value* is a hole."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name.startswith("$"):
            return name, argument
    return None


def fill(value: Any, scope: Scope) -> Any:
    """Replace every hole of *value*.

    Raises:
        CaseError: a hole is unknown or names what is not there.
    """
    found = hole(value)
    if found is not None:
        name, argument = found
        if name not in FILLERS:
            raise CaseError(f"{name} cannot stand in a request")
        return FILLERS[name](argument if name == "$ref" else fill(argument, scope), scope)
    if isinstance(value, dict):
        return {key: fill(member, scope) for key, member in value.items()}
    if isinstance(value, list):
        return [fill(member, scope) for member in value]
    return value


def _pem_at(argument: Any, _scope: Scope) -> str:
    text, index = argument
    blocks = split_pem(text)
    if len(blocks) <= index:
        raise CaseError(f"there are {len(blocks)} PEM blocks, none has the number {index}")
    return str(blocks[index])


FILLERS: Mapping[str, Callable[[Any, Scope], Any]] = {
    "$ref": lambda argument, scope: scope.get(argument),
    "$certificate-of": lambda argument, scope: scope.people.certificate_pem(argument),
    "$certificate-der-of": lambda argument, scope: encode(scope.people.certificate_der(argument)),
    "$key-of": lambda argument, scope: scope.people.key_pem(argument),
    "$key-der-of": lambda argument, scope: encode(scope.people.key_der(argument)),
    "$recovery-key": lambda argument, scope: scope.people.recovery_public_pem(argument),
    "$base64": lambda argument, _scope: encode(argument),
    "$base64-of-json": lambda argument, _scope: encode(compact(argument)),
    "$json": lambda argument, _scope: compact(argument),
    "$text-of-base64": lambda argument, _scope: decode(argument).decode(),
    "$join": lambda argument, _scope: "".join(argument),
    "$repeat": lambda argument, _scope: argument[0] * argument[1],
    "$pem": _pem_at,
}


def mismatches(pattern: Any, actual: Any, scope: Scope, where: str = "$") -> list[str]:
    """List where *actual* does not fit *pattern*; an empty list is a fit."""
    found = hole(pattern)
    if found is not None:
        name, argument = found
        if name in HOLES:
            return HOLES[name](argument, actual, scope, where)
        return _equal(fill(pattern, scope), actual, where)
    if isinstance(pattern, dict) and isinstance(actual, dict):
        if list(pattern) != list(actual):
            return [f"{where}: expected the members {list(pattern)}, got {list(actual)}"]
        return [m for key in pattern for m in mismatches(pattern[key], actual[key], scope, f"{where}.{key}")]
    if isinstance(pattern, list) and isinstance(actual, list):
        if len(pattern) != len(actual):
            return [f"{where}: expected {len(pattern)} entries, got {len(actual)}: {actual!r:.{SHOWN}}"]
        pairs = enumerate(zip(pattern, actual, strict=True))
        return [m for n, (one, other) in pairs for m in mismatches(one, other, scope, f"{where}[{n}]")]
    return _equal(pattern, actual, where)


def _equal(expected: Any, actual: Any, where: str) -> list[str]:
    if type(expected) is type(actual) and expected == actual:
        return []
    return [f"{where}: expected {expected!r:.{SHOWN}}, got {actual!r:.{SHOWN}}"]


def _any(kind: str, actual: Any, _scope: Scope, where: str) -> list[str]:
    if kind == "anything":
        return []
    if kind == "number":
        fits = isinstance(actual, int) and not isinstance(actual, bool)
    else:
        fits = isinstance(actual, str) and re.fullmatch(KINDS[kind], actual) is not None
    return [] if fits else [f"{where}: expected any {kind}, got {actual!r:.{SHOWN}}"]


def _capture(argument: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    name, pattern = argument if isinstance(argument, list) else (argument, {"$any": "anything"})
    scope.captured[name] = actual
    return mismatches(pattern, actual, scope, where)


def _differs(argument: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    return [f"{where}: expected another value than before"] if scope.get(argument) == actual else []


def _base64_of(pattern: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    try:
        content = decode(actual)
    except CaseError as error:
        return [f"{where}: {error}"]
    return mismatches(pattern, content.decode(errors="backslashreplace"), scope, where)


def _bytes(length: int, actual: Any, _scope: Scope, where: str) -> list[str]:
    try:
        return _equal(length, len(decode(actual)), f"{where} (bytes)")
    except CaseError as error:
        return [f"{where}: {error}"]


def _text(template: str, actual: Any, _scope: Scope, where: str) -> list[str]:
    parts = re.split("(" + "|".join(IN_TEXT) + ")", template)
    pattern = "".join(IN_TEXT.get(part) or re.escape(part) for part in parts)
    fits = isinstance(actual, str) and re.fullmatch(pattern, actual) is not None
    return [] if fits else [f"{where}: expected {template!r}, got {actual!r:.{SHOWN}}"]


def _contains(part: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    fits = isinstance(actual, str) and fill(part, scope) in actual
    return [] if fits else [f"{where}: expected a text with {part!r}, got {actual!r:.{SHOWN}}"]


def _starts(part: str, actual: Any, _scope: Scope, where: str) -> list[str]:
    fits = isinstance(actual, str) and actual.startswith(part)
    return [] if fits else [f"{where}: expected a text that begins {part!r}, got {actual!r:.{SHOWN}}"]


def _last(patterns: list[Any], actual: Any, scope: Scope, where: str) -> list[str]:
    if not isinstance(actual, list) or len(actual) < len(patterns):
        return [f"{where}: expected a list of at least {len(patterns)}, got {actual!r:.{SHOWN}}"]
    return mismatches(patterns, actual[len(actual) - len(patterns) :], scope, where)


def _open(members: dict[str, Any], actual: Any, scope: Scope, where: str) -> list[str]:
    if not isinstance(actual, dict):
        return [f"{where}: expected an object, got {actual!r:.{SHOWN}}"]
    missing = [f"{where}: the member {key!r} is missing" for key in members if key not in actual]
    present = [key for key in members if key in actual]
    return missing + [
        m for key in present for m in mismatches(members[key], actual[key], scope, f"{where}.{key}")
    ]


def _without(names: list[str], actual: Any, _scope: Scope, where: str) -> list[str]:
    there = [name for name in names if name in actual]
    return [f"{where}: {there} should not be there"] if there else []


def _all(patterns: list[Any], actual: Any, scope: Scope, where: str) -> list[str]:
    return [m for one in patterns for m in mismatches(one, actual, scope, where)]


def _one_of(patterns: list[Any], actual: Any, scope: Scope, where: str) -> list[str]:
    tried = [mismatches(one, actual, scope, where) for one in patterns]
    return [] if [] in tried else [f"{where}: none of {len(patterns)} patterns fits {actual!r:.{SHOWN}}"]


def _certificates(patterns: list[Any], actual: Any, scope: Scope, where: str) -> list[str]:
    try:
        described = [describe(pem) for pem in split_pem(actual)]
    except ValueError as error:
        return [f"{where}: not certificates: {error}"]
    return mismatches(patterns, described, scope, where)


def _certificate_der(pattern: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    try:
        return mismatches(pattern, describe(decode(actual)), scope, where)
    except (ValueError, CaseError) as error:
        return [f"{where}: not a certificate: {error}"]


def _json(pattern: Any, actual: Any, scope: Scope, where: str) -> list[str]:
    try:
        return mismatches(pattern, json.loads(actual), scope, where)
    except (TypeError, ValueError):
        return [f"{where}: expected JSON text, got {actual!r:.{SHOWN}}"]


HOLES: Mapping[str, Callable[[Any, Any, Scope, str], list[str]]] = {
    "$any": _any,
    "$capture": _capture,
    "$differs": _differs,
    "$base64-text": _base64_of,
    "$bytes": _bytes,
    "$text": _text,
    "$contains": _contains,
    "$starts": _starts,
    "$last": _last,
    "$open": _open,
    "$without": _without,
    "$all": _all,
    "$one-of": _one_of,
    "$certificates": _certificates,
    "$certificate-der": _certificate_der,
    "$json-text": _json,
}
