"""The patterns of the cases find what is wrong, so that a case that passes says something."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.wire.pattern import CaseError, Scope, fill, go_json, mismatches
from conformance.wire.users import People

LINE = '{"time":"2026-11-23T04:24:53.290Z","update":"Secret set"}'


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (1, 1, True),
        (None, None, ""),
        ([], [], None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1}, {"a": 1, "c": 2}),
        ([1, 2], [1, 2], [1]),
        ({"$any": "sha256"}, "0" * 64, "0" * 63),
        ({"$any": "number"}, 0, "0"),
        ({"$any": "base64"}, "AAE=", "AAE"),
        ({"$text": '{"time":"<time>","update":"Secret set"}'}, LINE, LINE + "\n"),
        ({"$contains": "b"}, "abc", "ac"),
        ({"$starts": "a"}, "abc", "bac"),
        ({"$last": [2, 3]}, [1, 2, 3], [2, 3, 4]),
        ({"$open": {"a": 1}}, {"a": 1, "b": 2}, {"b": 2}),
        ({"$without": ["a"]}, {"b": 1}, {"a": 1}),
        ({"$all": [{"$any": "text"}, {"$starts": "a"}]}, "a", "b"),
        ({"$one-of": [1, 2]}, 2, 3),
        ({"$bytes": 2}, "AAE=", "AAEC"),
        ({"$base64-text": "ab"}, "YWI=", "YWM="),
        ({"$base64": "ab"}, "YWI=", "YWM="),
        ({"$json-text": {"a": 1}}, '{"a":1}', '{"a":2}'),
        ({"$differs": "known"}, "other", "value"),
        ({"$ref": "known"}, "value", "other"),
        ({"$certificates": [{"$open": {"subject": "CN=conformance bob"}}]}, "bob", "alice"),
    ],
)
def test_patterns(pattern: Any, right: Any, wrong: Any) -> None:
    """Each pattern takes what is right and names what is wrong."""
    people = People()
    if "$certificates" in str(pattern):
        right, wrong = people.certificate_pem(right), people.certificate_pem(wrong)
    scope = Scope(people, {"known": "value"})

    assert mismatches(pattern, right, scope) == []
    assert mismatches(pattern, wrong, scope) != []


def test_values_are_filled_in() -> None:
    """Holes of requests are replaced, also within each other; unknown ones are an error."""
    scope = Scope(People(), {"x": "y"})

    assert fill({"a": [{"$base64-of-json": {"k": {"$ref": "x"}}}]}, scope) == {"a": ["eyJrIjoieSJ9"]}
    assert go_json({"b": "<\u2028"}) == '{"b":"\\u003c\\u2028"}\n'
    for wrong in ({"$ref": "none"}, {"$nothing": 1}):
        with pytest.raises(CaseError):
            fill(wrong, scope)
