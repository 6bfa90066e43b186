"""The manifest's shape, as the JSON Schema says it: folds MarbleRun's loose names, then validates.

The schema alone knows which objects are structures (fixed names) and which are maps (names chosen by people);
both functions walk along it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from marbleops.manifest.errors import IssueCode
from marbleops.manifest.limits import MAX_COLLECTED
from marbleops.manifest.position import JsonPath, fold, shown
from marbleops.manifest.schema import MANIFEST_SCHEMA, load_schema, manifest_validator, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.manifest.issues import Issues
    from marbleops.manifest.schema import Violation

_GO_KNOWS: Final = frozenset({"type", "minimum", "maximum"})
"""Keywords a MarbleRun Coordinator's decoder enforces too; the others are `check`'s there, in its words."""

_TYPE_WORDS: Final = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "number": "a number",
}


def fold_names(document: dict[str, Any], issues: Issues) -> dict[str, Any]:
    """Bring field names to the schema's spelling, drop unknown fields and ``null`` (marblerun-core 0.1).

    Two names of one structure that differ only by case are an issue; Go would merge them silently.
    """
    return _fold_struct(document, load_schema(MANIFEST_SCHEMA), (), issues)


def check_shape(document: Mapping[str, Any], issues: Issues, *, strict: bool) -> None:
    """Validate *document* against the schema (without *strict*: only what Go's decoder refuses too)."""
    for violation in islice(manifest_validator().violations(document), MAX_COLLECTED):
        if strict or violation.keyword in _GO_KNOWS:
            _tell(violation, issues)


def ignored_names(document: Any) -> tuple[JsonPath, ...]:
    """Paths of the fields that a MarbleRun Coordinator would ignore, as they are written."""
    found: list[JsonPath] = []
    _find_ignored(document, load_schema(MANIFEST_SCHEMA), (), found)
    return tuple(found)


def field_names(path: JsonPath) -> tuple[str, ...]:
    """List the valid names of the structure at *path*; none where people choose the names."""
    schema = load_schema(MANIFEST_SCHEMA)
    for step in path:
        schema = _below(schema, step)
    return tuple(resolve(schema).get("properties", ()))


def _below(schema: Mapping[str, Any], step: str | int) -> Mapping[str, Any]:
    schema = resolve(schema)
    if isinstance(step, int):
        below = schema.get("items", {})
    else:
        below = schema.get("properties", {}).get(step, schema.get("additionalProperties", {}))
    return below if isinstance(below, dict) else {}


def _fold(value: Any, schema: Mapping[str, Any], path: JsonPath, issues: Issues) -> Any:
    schema = resolve(schema)
    if isinstance(value, dict) and "properties" in schema:
        return _fold_struct(value, schema, path, issues)
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        inner = schema["additionalProperties"]
        return {name: _fold_or_zero(item, inner, (*path, name), issues) for name, item in value.items()}
    if isinstance(value, list) and "items" in schema:
        inner = schema["items"]
        return [_fold_or_zero(item, inner, (*path, index), issues) for index, item in enumerate(value)]
    return value


def _fold_struct(
    struct: dict[str, Any], schema: Mapping[str, Any], path: JsonPath, issues: Issues
) -> dict[str, Any]:
    fields = {fold(name): name for name in schema["properties"]}
    seen: dict[str, str] = {}
    folded: dict[str, Any] = {}
    for name, value in struct.items():
        key = fold(name)
        if key in seen:
            message = f"the names '{shown(seen[key])}' and '{shown(name)}' differ only by case"
            issues.add(IssueCode.MALFORMED, (*path, name), message, at_name=True)
            continue
        seen[key] = name
        if key in fields and value is not None:
            folded[fields[key]] = _fold(
                value, schema["properties"][fields[key]], (*path, fields[key]), issues
            )
    return folded


def _fold_or_zero(value: Any, schema: Mapping[str, Any], path: JsonPath, issues: Issues) -> Any:
    """Fold an element of a map or list; ``null`` stands for the zero value of its type."""
    if value is not None:
        return _fold(value, schema, path, issues)
    kinds = resolve(schema).get("type")
    if isinstance(kinds, str):
        return {"string": "", "integer": 0, "boolean": False, "object": {}, "array": []}[kinds]
    return None  # a file: marblerun-core 1.4 refuses null there, and so does the schema


def _find_ignored(value: Any, schema: Mapping[str, Any], path: JsonPath, found: list[JsonPath]) -> None:
    schema = resolve(schema)
    if isinstance(value, dict):
        fields: dict[str, str] = {fold(name): name for name in schema.get("properties", ())}
        for name, member in value.items():
            if fields and fold(name) not in fields:
                found.append((*path, name))
            else:
                below = _below(schema, fields[fold(name)] if fields else name)
                _find_ignored(member, below, (*path, name), found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_ignored(item, _below(schema, index), (*path, index), found)


def _tell(violation: Violation, issues: Issues) -> None:
    """Turn one violation into issues in our words; the library's repeat whole values."""
    path, rule, value = violation.path, violation.rule, violation.instance
    match violation.keyword:
        case "additionalProperties":
            _tell_unknown(path, value, violation.schema["properties"], issues)
        case "required":
            written = {fold(name) for name in value}
            for name in rule:
                if fold(name) not in written:  # in another case it is told as an unknown name
                    expected = _words(resolve(violation.schema["properties"][name]).get("type"))
                    issues.malformed((*path, name), f"'{name}' is missing", expected=expected)
        case "type":
            issues.malformed(path, f"expected {_words(rule)}, got {_kind(value)}", expected=_words(rule))
        case "enum":
            _tell_enum(path, rule, str(value), issues)
        case "minimum" | "maximum":
            expected = f"an integer from {violation.schema['minimum']} to {violation.schema['maximum']}"
            issues.add(IssueCode.INVALID, path, f"{value} is out of range", expected=expected)
        case "pattern":
            message = f"'{shown(value)}' is not of the form this field has"
            issues.add(IssueCode.INVALID, path, message, expected=f"text that matches {rule}")
        case keyword:
            issues.invalid(path, f"breaks the rule {keyword}: {rule}")


def _tell_unknown(
    path: JsonPath, instance: Mapping[str, Any], known: Mapping[str, Any], issues: Issues
) -> None:
    for name in instance:
        if name not in known:
            issues.add(
                IssueCode.MALFORMED,
                (*path, name),
                f"unknown name '{shown(name)}'",
                expected="one of " + ", ".join(known),
                hint=issues.nearest(name, known),
                at_name=True,
            )


def _tell_enum(path: JsonPath, allowed: list[str], written: str, issues: Issues) -> None:
    issues.add(
        IssueCode.INVALID,
        path,
        f"'{shown(written)}' is not allowed here",
        expected="one of " + ", ".join(f"'{word}'" for word in allowed),
        hint=issues.nearest(written, [word for word in allowed if word]),
    )


def _words(kinds: Any) -> str:
    listed = [kinds] if isinstance(kinds, str) else list(kinds or ())
    return " or ".join(_TYPE_WORDS[kind] for kind in listed)


def _kind(value: Any) -> str:
    """Say what a JSON value is; never the value itself, which may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {
        str: "a string",
        int: "an integer",
        float: "a number with sign, fraction or exponent",
        list: "a list",
    }
    return names.get(type(value), "an object")
