"""The JSON Schemas that ship with the package, and the manifest's compiled validator.

Two keywords are stricter than the library's: ``integer`` is an integer literal (``128.0`` is none), and a
pattern's ``$`` is the very end of the string, not also the place before a last line feed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator, ValidationError, validators

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST_SCHEMA: Final = "manifest.v1.schema.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One place where a document breaks its schema; ``keyword`` and ``rule`` are the schema's."""

    path: tuple[str | int, ...]
    keyword: str
    rule: Any
    instance: Any
    schema: Mapping[str, Any]


class Validator:
    """A compiled schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
        extend: Any = validators.extend  # its stub has no types
        self._inner = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=checker)(
            _inlined(schema, schema)
        )

    def violations(self, document: Any) -> Iterator[Violation]:
        """Yield every violation, in the order of the schema and the document."""
        for error in self._inner.iter_errors(document):
            yield Violation(
                path=tuple(error.absolute_path),
                keyword=str(error.validator),
                rule=error.validator_value,
                instance=error.instance,
                schema=error.schema,
            )


@cache
def load_schema(name: str) -> Mapping[str, Any]:
    """Read a schema of the package by its file name.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    text = resources.files("marbleops").joinpath("schemas", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def manifest_validator() -> Validator:
    """Compile ``manifest.v1.schema.json``, once."""
    return Validator(load_schema(MANIFEST_SCHEMA))


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow the manifest schema's own ``$ref`` (they all lead to ``#/$defs/NAME``)."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definition: Mapping[str, Any] = load_schema(MANIFEST_SCHEMA)["$defs"][reference.removeprefix("#/$defs/")]
    return definition


def _inlined(part: Any, root: Mapping[str, Any]) -> Any:
    """Put definitions where they are referred to: none refers to itself, and following them is slow."""
    if isinstance(part, list):
        return [_inlined(item, root) for item in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        definition = root["$defs"][reference.removeprefix("#/$defs/")]
        part = {name: value for name, value in part.items() if name != "$ref"} | definition
    return {name: _inlined(value, root) for name, value in part.items() if name != "$defs"}


def _is_integer(_checker: Any, instance: Any) -> bool:
    return isinstance(instance, int) and not isinstance(instance, bool)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, re.ASCII)
