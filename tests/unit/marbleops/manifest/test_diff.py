"""The difference of two manifests, value by value."""

from __future__ import annotations

from typing import Any

from marbleops.manifest.diff import Edit, EditKind, diff


def edits(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, tuple[str | int, ...], Any, Any]]:
    return [(edit.kind.value, edit.path, edit.old, edit.new) for edit in diff(old, new)]


def test_leaves() -> None:
    """Each changed leaf is one edit, ordered by path."""
    old = {"b": {"x": 1, "y": 2}, "a": "t"}
    new = {"a": "u", "b": {"y": 3, "z": None}}

    assert edits(old, new) == [
        ("change", ("a",), "t", "u"),
        ("remove", ("b", "x"), 1, None),
        ("change", ("b", "y"), 2, 3),
        ("add", ("b", "z"), None, None),
    ]


def test_new_and_dropped_objects_are_one_edit() -> None:
    """An object comes and goes as a whole."""
    assert diff({}, {"p": {"q": {"r": 1}}}) == (
        Edit(path=("p",), kind=EditKind.ADD, old=None, new={"q": {"r": 1}}),
    )
    assert edits({"p": {"q": 1}}, {"p": {}}) == [("remove", ("p", "q"), 1, None)]
    assert edits({"p": {"q": 1}}, {"p": [1]}) == [("change", ("p",), {"q": 1}, [1])]


def test_lists_by_index() -> None:
    """Lists are compared index by index; their order counts."""
    assert edits({"l": [1, 2, 3]}, {"l": [1, 3]}) == [
        ("change", ("l", 1), 2, 3),
        ("remove", ("l", 2), 3, None),
    ]
    assert edits({"l": []}, {"l": [[]]}) == [("add", ("l", 0), None, [])]


def test_types_count() -> None:
    """True is not 1, and 1 is not 1.0."""
    assert [kind for kind, *_ in edits({"a": True, "b": 1}, {"a": 1, "b": 1.0})] == ["change", "change"]


def test_order_and_schema_reference_mean_nothing() -> None:
    """Only at top level is $schema left out."""
    assert diff({"$schema": "x", "a": 1, "b": 2}, {"b": 2, "a": 1}) == ()
    assert len(diff({"a": {"$schema": "x"}}, {"a": {}})) == 1
