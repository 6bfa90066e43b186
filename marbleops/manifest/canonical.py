"""The one JSON form of our own objects that are hashed or signed. Never applied to a manifest's bytes."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(obj: Any) -> bytes:
    """Write *obj* as JSON with sorted names, no white space and UTF-8 as it is.

    Raises:
        ValueError: *obj* holds NaN, an infinity, a lone surrogate, or something that JSON cannot say.
    """
    try:
        text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return text.encode()
