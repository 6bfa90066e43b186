"""What evidence comes in, before it is evidence: text, a certificate, the answer of a Coordinator.

The verifier takes bytes alone. People have files: hexadecimal, Base64, an RA-TLS certificate in PEM or DER,
or what ``GET /quote`` said. Each form is told by its content, and never tried as another one.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_FILE_BYTES: Final = 256 * 1024  # a certificate chain and a quote, both as Base64 in JSON

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_SPACE: Final = b" \t\r\n"
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_END: Final = b"-----END CERTIFICATE-----"


class Form(StrEnum):
    """How a file holds evidence."""

    RAW = "raw bytes"
    HEX = "hexadecimal text"
    BASE64 = "Base64 text"
    PEM = "RA-TLS certificate in PEM"
    DER = "RA-TLS certificate in DER"
    ANSWER = "answer to /quote"


class EnvelopeError(ValueError):
    """The file says what it is and is not that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Evidence, or a certificate that carries it; ``vouched_chain`` is the one that came with a /quote."""

    form: Form
    evidence: bytes = b""
    certificate: bytes | None = None
    vouched_chain: str | None = None


def open_envelope(content: bytes) -> Envelope:
    """Find the evidence in a file's content; raises ``EnvelopeError``.

    Bytes that are no text are taken as they are: whether they are evidence is the verifier's question.
    """
    if len(content) > MAX_FILE_BYTES:
        raise EnvelopeError(f"longer than {MAX_FILE_BYTES} bytes")
    text = content.strip(_SPACE)
    if text.startswith(b"{"):
        return _answer(text)
    # A quote is binary and has PEM inside; a certificate in PEM is text from its first byte to its last.
    if _PEM_BEGIN in text and text.isascii() and b"\0" not in text:
        return Envelope(form=Form.PEM, certificate=_first_certificate(text))
    if text and not set(text) - _HEX - set(_SPACE) - set(b"x"):
        return Envelope(form=Form.HEX, evidence=_hexadecimal(text))
    if text and not set(text) - _BASE64 - set(_SPACE):
        return Envelope(form=Form.BASE64, evidence=_base64(text, "the text"))
    if _is_certificate(content):
        return Envelope(form=Form.DER, certificate=content)
    return Envelope(form=Form.RAW, evidence=content)


def _is_certificate(content: bytes) -> bool:
    # A certificate is a SEQUENCE with a length of two bytes that is the file's; evidence begins with a small
    # little-endian number.
    return content[:2] == b"\x30\x82" and int.from_bytes(content[2:4], "big") == len(content) - 4


def _first_certificate(text: bytes) -> bytes:
    begin = text.index(_PEM_BEGIN) + len(_PEM_BEGIN)
    end = text.find(_PEM_END, begin)
    if end < 0:
        raise EnvelopeError("the PEM certificate has no end")
    return _base64(text[begin:end], "the PEM certificate")


def _hexadecimal(text: bytes) -> bytes:
    digits = b"".join(text.split())
    try:
        return binascii.unhexlify(digits.removeprefix(b"0x"))
    except binascii.Error as error:
        raise EnvelopeError(f"the hexadecimal text is not whole: {error}") from error


def _base64(text: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise EnvelopeError(f"{what} is not Base64: {error}") from error


def _answer(text: bytes) -> Envelope:
    # {"status":"success","data":{"Cert":PEM,"Quote":Base64}}; v2 writes the names small, and some save the
    # inner object alone.
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError(f"it begins as JSON and is none: {error}") from error
    inner = document.get("data", document) if isinstance(document, dict) else None
    members: dict[str, Any] = (
        {name.lower(): value for name, value in inner.items()} if isinstance(inner, dict) else {}
    )
    quote, chain = members.get("quote"), members.get("cert")
    if not isinstance(quote, str) or not quote:
        raise EnvelopeError(
            "the JSON has no quote: it is not an answer to /quote of a Coordinator in an enclave"
        )
    return Envelope(
        form=Form.ANSWER,
        evidence=_base64(quote.encode(errors="replace"), "the quote"),
        vouched_chain=chain if isinstance(chain, str) else None,
    )
