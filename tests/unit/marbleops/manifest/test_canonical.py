"""The JSON form of our own objects: one text for one value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from marbleops.manifest.canonical import canonical_json


def test_one_form() -> None:
    """Names are sorted, nothing is escaped that need not be, and there is no white space."""
    assert canonical_json({"b": [1, None], "a": "\u00e4\n"}) == b'{"a":"\xc3\xa4\\n","b":[1,null]}'


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", b"bytes", {1, 2}])
def test_what_json_cannot_say(value: Any) -> None:
    """What has no one form is refused."""
    with pytest.raises(ValueError):
        canonical_json({"x": value})
