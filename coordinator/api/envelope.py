"""MarbleRun's envelope, byte for byte (marblerun-core 0.1, section 11): escapes, types, line ends."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from coordinator.api.errors import Kind

_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_HEADERS = {"Server": "marbleops"}
_JSON = "application/json"


def go_json(document: Any) -> bytes:
    """Write JSON as Go's encoder does: compact, as ordered, HTML-escaped, with a line end."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    # These characters stand inside JSON strings only, so that replacing them anywhere is right.
    return text.translate(_GO_ESCAPES).encode("utf-8", "replace") + b"\n"


def success(data: Any) -> web.Response:
    """Answer 200."""
    return web.Response(
        body=go_json({"status": "success", "data": data}), content_type=_JSON, headers=_HEADERS
    )


def refusal(kind: Kind, http: int, message: str, data: Any = None) -> web.Response:
    """Answer *fail* (JSON) or *error* (JSON that calls itself plain text, as Go's does)."""
    document: dict[str, Any] = {"status": kind.value, "data": data}
    if message:
        document["message"] = message
    if kind is Kind.FAIL:
        return web.Response(status=http, body=go_json(document), content_type=_JSON, headers=_HEADERS)
    headers = {**_HEADERS, "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=http, body=go_json(document), headers=headers)
