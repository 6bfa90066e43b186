"""Request bodies: bounded in size and time before anything is parsed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from coordinator.errors import (
    MalformedRequestError,
    SlowRequestError,
    TooLargeError,
    TooManyRequestsError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

MAX_MANIFEST_BODY = 2 * 1024 * 1024
"""A manifest of 1 MiB in base64, in JSON."""

MAX_UPDATE_BODY = 13 * 1024 * 1024
"""A manifest and 8 MiB of evidence, in base64 (approvals.md section 4)."""

MAX_SECRETS_BODY = 4 * 1024 * 1024
"""Values of secrets that users upload, in base64, in JSON."""

MAX_SMALL_BODY = 256 * 1024
"""A quote, or a counter."""

MAX_RECOVER_BODY = 20480
"""MarbleRun's own: what is beyond it is not looked at (marblerun-core 7.3)."""

MAX_QUERY_VALUE = 4096
BODY_SECONDS = 30.0
FREE_BYTES = 256 * 1024
"""Of each body; with as many connections as there can be this is the most that strangers hold for free."""
SHARED_BYTES = 64 * 1024 * 1024
"""What is beyond that, of all bodies together."""
MAX_STRUCTURE = 32 * 1024
"""Openers and commas in a body: values cost far more memory than bytes. 64 full pieces have a third of it."""
_CHUNK = 256 * 1024


@dataclass(slots=True)
class Bodies:
    """Reads bodies. The first part of each is free, what is beyond comes from memory that all share.

    So whoever sends much, or sends slowly, holds up neither small calls nor the places where calls are
    decided.
    """

    shared_left: int = SHARED_BYTES

    @asynccontextmanager
    async def read(self, request: web.BaseRequest, *, limit: int, cut: bool = False) -> AsyncIterator[bytes]:
        """Read the whole body, or if *cut* its first *limit* bytes; its memory counts until the context ends.

        Raises:
            TooLargeError: it is longer than *limit*, said or seen.
            SlowRequestError: it did not arrive in time.
            TooManyRequestsError: other large bodies have taken the shared memory.
            MalformedRequestError: it broke off, or its chunks cannot be read.
        """
        if not cut and request.content_length is not None and request.content_length > limit:
            raise TooLargeError(limit)
        received = bytearray()
        try:
            await _invite(request)
            await self._fill(received, request, limit, cut=cut)
            yield bytes(received)
        finally:
            self.shared_left += _beyond(received)

    async def _fill(self, received: bytearray, request: web.BaseRequest, limit: int, *, cut: bool) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while chunk := await request.content.read(_CHUNK):
                    if len(received) + len(chunk) > limit:
                        if cut:
                            received += chunk[: limit - len(received)]
                            return
                        raise TooLargeError(limit)
                    more = _beyond(received, len(chunk)) - _beyond(received)
                    if more > self.shared_left:
                        raise TooManyRequestsError
                    self.shared_left -= more
                    received += chunk
        except TimeoutError as error:
            raise SlowRequestError from error
        except (ClientError, HttpProcessingError, OSError) as error:
            raise MalformedRequestError("bad request: the body cannot be read") from error


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body (RFC 9110, 10.1.1): curl would wait for a second."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what was written is no part of the answer


def _beyond(received: bytearray, more: int = 0) -> int:
    return max(0, len(received) + more - FREE_BYTES)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no member twice, no NaN, nothing after it.

    Raises:
        MalformedRequestError: anything else.
    """
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MAX_STRUCTURE:
        raise MalformedRequestError("bad request: the body has more values than any call")
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
