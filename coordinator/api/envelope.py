"""MarbleRun's envelope, byte for byte (marblerun-core 0.1, section 11): escapes, types, line ends."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from aiohttp import web
from aiohttp.payload import Payload

from coordinator.api.errors import Kind

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_HEADERS = {"Server": "marbleops"}
_JSON = "application/json"
_SLICE = 64 * 1024


class _Content:
    """The bytes of a long answer, which all who ask alike share."""

    __slots__ = ("__weakref__", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets


_contents: WeakValueDictionary[bytes, _Content] = WeakValueDictionary()


class _Slices(Payload):
    """A long answer, sent as fast as its client takes it; a hundred slow ones cost no hundred copies.

    In one piece the TLS edge would hold it whole for each of them, or drop them.
    """

    def __init__(self, octets: bytes) -> None:
        digest = hashlib.sha256(octets).digest()
        content = _contents.setdefault(digest, _Content(octets))
        super().__init__(content, content_type=_JSON)
        self._content = content
        self._size = len(octets)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._content.octets.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for start in range(0, len(self._content.octets), _SLICE):
            await writer.write(self._content.octets[start : start + _SLICE])


def go_json(document: Any) -> bytes:
    """Write JSON as Go's encoder does: compact, as ordered, HTML-escaped, with a line end."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    # These characters stand inside JSON strings only, so that replacing them anywhere is right.
    return text.translate(_GO_ESCAPES).encode("utf-8", "replace") + b"\n"


def success(data: Any) -> web.Response:
    """Answer 200."""
    encoded = go_json({"status": "success", "data": data})
    body = _Slices(encoded) if len(encoded) > _SLICE else encoded
    return web.Response(body=body, content_type=_JSON, headers=_HEADERS)


def refusal(kind: Kind, http: int, message: str, data: Any = None) -> web.Response:
    """Answer *fail* (JSON) or *error* (JSON that calls itself plain text, as Go's does)."""
    document: dict[str, Any] = {"status": kind.value, "data": data}
    if message:
        document["message"] = message
    if kind is Kind.FAIL:
        return web.Response(status=http, body=go_json(document), content_type=_JSON, headers=_HEADERS)
    headers = {**_HEADERS, "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=http, body=go_json(document), headers=headers)
