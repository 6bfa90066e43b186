"""Request bodies: bounded in size and time before anything is parsed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from coordinator.errors import MalformedRequestError, SlowRequestError, TooLargeError

if TYPE_CHECKING:
    from aiohttp import web

MAX_MANIFEST_BODY = 2 * 1024 * 1024
"""A manifest of 1 MiB in base64, in JSON."""

MAX_UPDATE_BODY = 13 * 1024 * 1024
"""A manifest and 8 MiB of evidence, in base64 (approvals.md section 4)."""

MAX_QUERY_VALUE = 4096
BODY_SECONDS = 30.0
_CHUNK = 256 * 1024


async def read_body(request: web.BaseRequest, *, limit: int) -> bytes:
    """Read the whole body.

    Raises:
        TooLargeError: it is longer than *limit*, said or seen.
        SlowRequestError: it did not arrive in time.
    """
    if request.content_length is not None and request.content_length > limit:
        raise TooLargeError(limit)
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while chunk := await request.content.read(_CHUNK):
                received += chunk
                if len(received) > limit:
                    raise TooLargeError(limit)
    except TimeoutError as error:
        raise SlowRequestError from error
    return bytes(received)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no member twice, no NaN, nothing after it.

    Raises:
        MalformedRequestError: anything else.
    """
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MalformedRequestError("bad request: the body is not one strict JSON object") from error
    if not isinstance(document, dict):
        raise MalformedRequestError("bad request: the body is not a JSON object")
    return document


def base64_member(document: dict[str, Any], name: str) -> bytes:
    """Decode a base64 member.

    Raises:
        MalformedRequestError: it is missing, no string, or no padded standard base64.
    """
    value = document.get(name)
    if not isinstance(value, str):
        raise MalformedRequestError(f"bad request: {name} must be a base64 string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRequestError(f"bad request: {name} is not base64") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member stands twice")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
