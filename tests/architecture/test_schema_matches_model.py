"""The manifest's schema and its model cannot drift apart: same fields, and every field is read."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from marbleops.manifest import model
from marbleops.manifest.parse import Strictness, parse
from marbleops.manifest.schema import MANIFEST_SCHEMA, load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = load_schema(MANIFEST_SCHEMA)
NOT_IN_JSON = {"raw", "digest", "document"}
NOT_IN_MODEL = {"$schema"}
PAIRS: dict[str, type] = {
    "package": model.Package,
    "file": model.File,
    "parameters": model.Parameters,
    "marble": model.Marble,
    "tlsIncoming": model.TLSEntry,
    "tlsOutgoing": model.TLSEntry,
    "tlsTag": model.TLSTag,
    "user": model.User,
    "role": model.Role,
    "secret": model.Secret,
    "config": model.Config,
    "gitops": model.GitOps,
}
KEPT_AS_JSON = {"bytes", "infrastructure", "name", "certificate"}
"""Definitions without a type of their own: the model keeps them as parsed."""


def python_name(name: str) -> str:
    """Spell a field as the model does."""
    if name == "GitOps":
        return "gitops"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def nodes(schema: Mapping[str, Any], path: str = "#") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk every schema inside *schema*."""
    yield path, schema
    for name, inner in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
        yield from nodes(inner, f"{path}/{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from nodes(schema[keyword], f"{path}/{keyword}")


def example(schema: Mapping[str, Any]) -> Any:
    """Make a value that differs from every default, for each field that *schema* has."""
    if "$ref" in schema:
        return example(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("pattern") == "^sha256:[0-9a-f]{64}$":
        return f"sha256:{'1' * 64}"
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[-1]
    if kind == "object":
        members = {name: example(inner) for name, inner in schema.get("properties", {}).items()}
        inner = schema.get("additionalProperties")
        return members | ({"one": example(inner)} if isinstance(inner, dict) else {})
    return {"string": "hex", "integer": 7, "boolean": True, "array": [example(schema.get("items", {}))]}[kind]


@pytest.mark.parametrize(("name", "kind"), PAIRS.items(), ids=list(PAIRS))
def test_same_fields(name: str, kind: type) -> None:
    """Each property of a definition is a field of its type, and each field a property."""
    properties = {python_name(field) for field in SCHEMA["$defs"][name]["properties"]}

    assert properties == {field.name for field in dataclasses.fields(kind)}


def test_same_sections() -> None:
    """Each section of the schema is a field of the manifest, and each field a section."""
    sections = {python_name(name) for name in SCHEMA["properties"] if name not in NOT_IN_MODEL}

    assert sections == {field.name for field in dataclasses.fields(model.Manifest)} - NOT_IN_JSON


def test_every_definition_is_known() -> None:
    """No definition escapes the comparison."""
    assert set(SCHEMA["$defs"]) == {*PAIRS, *KEPT_AS_JSON}


def test_every_field_reaches_the_model() -> None:
    """A manifest with every field away from its default leaves no field of the model at its default."""
    document = example(SCHEMA)
    document["Marbles"]["one"]["Parameters"]["Files"]["one"]["Data"] = "00"
    document["Marbles"]["one"]["Parameters"]["Env"]["one"]["Data"] = "00"

    manifest = parse(json.dumps(document).encode(), strictness=Strictness.STRICT)

    assert manifest.gitops is not None
    marble = manifest.marbles["one"]
    made: list[Any] = [
        manifest,
        manifest.packages["one"],
        marble,
        marble.parameters,
        marble.parameters.files["one"],
        manifest.users["one"],
        manifest.roles["one"],
        manifest.secrets["one"],
        manifest.tls["one"],
        manifest.tls["one"].incoming[0],
        manifest.config,
        manifest.gitops,
    ]
    for value in made:
        for field in dataclasses.fields(value):
            default = field.default_factory() if callable(field.default_factory) else field.default
            assert getattr(value, field.name) != default, f"{type(value).__name__}.{field.name}"


def test_every_node_helps_an_editor() -> None:
    """Everything is described in a sentence, objects take no unknown names, and integers have bounds."""
    for path, schema in nodes(SCHEMA):
        description = schema.get("description", "")
        assert len(description) >= 5, path
        assert description.endswith("."), path
        assert "properties" not in schema or schema["additionalProperties"] is False, path
        assert schema.get("type") != "integer" or {"minimum", "maximum"} <= set(schema), path


def test_it_is_a_schema() -> None:
    """The file is a valid schema of draft 2020-12 with an id."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"]
