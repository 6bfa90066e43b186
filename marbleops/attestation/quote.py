"""Evidence to a quote: unwrapping (attestation.md 1.3) and the strict parse of quotes.

SGX quotes are version 3 (1.1), those of trust domains 4 and 5 (1.2). Everything is bounded by the enclosing
length; inner lengths must fill it exactly; only zeros may follow a raw quote.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.report import (
    ATTRIBUTE_DEBUG,
    ATTRIBUTE_INIT,
    ATTRIBUTE_KSS,
    SGX_BODY,
    TD10_BODY,
    TD15_BODY,
    flags,
    parse_report,
    parse_td_report,
)
from marbleops.attestation.verdict import Code, Report, TdReport

__all__ = [
    "ATTRIBUTE_DEBUG",
    "ATTRIBUTE_INIT",
    "ATTRIBUTE_KSS",
    "CERT_DATA_ENCRYPTED_PPID",
    "CERT_DATA_PEM_CHAIN",
    "INTEL_QE_VENDOR",
    "Quote",
    "flags",
    "parse_evidence",
    "parse_quote",
    "parse_report",
]

INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
CERT_DATA_PEM_CHAIN: Final = 5
CERT_DATA_ENCRYPTED_PPID: Final = (2, 3)

_OE_REPORT_VERSION = 1
_OE_EVIDENCE_VERSION = 3
_OE_REMOTE = 2
_UUID_SGX_ECDSA = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
_UUID_RAW_QUOTE = bytes.fromhex("1923d91e12d24c72b22025cd8dace871")
_UUID_OTHERS = (
    bytes.fromhex(
        "c8303454d9234c2ca691df7def460a76"
    ),  # legacy report: carries its own header, never this one
    bytes.fromhex("09268c33"),  # local attestation: the prefix that attestation.md 1.3 gives
)
_TEE_SGX = 0
_TEE_TDX = 0x81
_HEADER = 48
_CERT_DATA_QE_REPORT = 6
_TD_BODIES = {2: TD10_BODY, 3: TD15_BODY}  # by the body type of a v5 quote; type 1, SGX, is never used


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quote in its parts; ``signed`` is what the attestation key signs.

    ``custom_claims`` are there for SGX_ECDSA evidence of Open Enclave, whose report data is their hash.
    """

    version: int
    signed: bytes
    report: Report | TdReport
    signature: bytes
    attestation_key: bytes
    qe_report_bytes: bytes
    qe_report: Report
    qe_report_signature: bytes
    qe_auth_data: bytes
    certification_type: int
    certification_data: bytes
    custom_claims: bytes | None = None


class _Reader:
    """Takes bytes off the front; running out of them is ``QUOTE_TRUNCATED``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, count: int, what: str) -> bytes:
        if count > len(self._data) - self._offset:
            raise RejectedError(Code.QUOTE_TRUNCATED, f"{what} needs {count} bytes, {self.left()} are left")
        part = self._data[self._offset : self._offset + count]
        self._offset += count
        return part

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "little")

    def left(self) -> int:
        return len(self._data) - self._offset

    def rest(self) -> bytes:
        return self.take(self.left(), "rest")


def parse_evidence(evidence: bytes) -> Quote:
    """Unwrap and parse ``evidence``; raises ``RejectedError`` and nothing else."""
    # 2.1 step 1: size.
    if len(evidence) > limits.MAX_EVIDENCE_BYTES:
        raise RejectedError(
            Code.EVIDENCE_TOO_LARGE, f"{len(evidence)} bytes, at most {limits.MAX_EVIDENCE_BYTES}"
        )
    # 2.1 step 2: unwrap. A raw v3 quote starts 03 00 02 00, so neither header version can be mistaken for it;
    # one with attestation key type 0 could be, which is why the format identifier has to be a known one.
    version = int.from_bytes(evidence[:4], "little")
    if version == _OE_REPORT_VERSION and len(evidence) >= 4:
        return _parse_report_v1(evidence)
    if version == _OE_EVIDENCE_VERSION and _known_format(evidence[4:20]):
        return _parse_evidence_v3(evidence)
    return parse_quote(evidence)


def parse_quote(raw: bytes) -> Quote:
    """Parse a raw quote, which zeros may follow; raises ``RejectedError``."""
    quote, rest = _parse_quote_prefix(raw)
    if any(rest):
        raise RejectedError(Code.QUOTE_TRAILING_DATA, f"{len(rest)} bytes after the quote are not all zero")
    return quote


def _known_format(identifier: bytes) -> bool:
    known = identifier in (_UUID_SGX_ECDSA, _UUID_RAW_QUOTE)
    return known or any(identifier.startswith(other) for other in _UUID_OTHERS)


def _parse_report_v1(evidence: bytes) -> Quote:
    reader = _Reader(evidence)
    reader.take(4, "report header")
    kind = reader.number(4, "report type")
    if kind != _OE_REMOTE:
        raise RejectedError(Code.EVIDENCE_HEADER, f"report type {kind} is not 2, a remote report")
    size = reader.number(8, "report size")
    if size != reader.left():  # marblerun-core 10.1: the length must match
        raise RejectedError(Code.EVIDENCE_HEADER, f"header announces {size} bytes, {reader.left()} follow")
    return parse_quote(reader.rest())


def _parse_evidence_v3(evidence: bytes) -> Quote:
    reader = _Reader(evidence)
    reader.take(4, "evidence header")
    identifier = reader.take(16, "evidence format")
    if identifier not in (_UUID_SGX_ECDSA, _UUID_RAW_QUOTE):
        raise RejectedError(
            Code.EVIDENCE_HEADER, f"evidence format {identifier.hex()} is not a remote SGX quote"
        )
    size = reader.number(8, "evidence size")
    if size != reader.left():
        raise RejectedError(Code.EVIDENCE_HEADER, f"header announces {size} bytes, {reader.left()} follow")
    if identifier == _UUID_RAW_QUOTE:
        return parse_quote(reader.rest())
    # 1.3: custom claims follow, and the report data is their hash; they say nothing unless they are the ones
    # hashed.
    quote, claims = _parse_quote_prefix(reader.rest())
    if quote.report.report_data != hashlib.sha256(claims).digest() + bytes(32):
        raise RejectedError(
            Code.EVIDENCE_CLAIMS, "custom claims are not the ones the report data is the hash of"
        )
    return replace(quote, custom_claims=claims)


def _parse_quote_prefix(raw: bytes) -> tuple[Quote, bytes]:
    # 2.1 steps 1 (version) and 3.
    reader = _Reader(raw)
    header = reader.take(_HEADER, "quote header")
    _check_header(header)
    version = int.from_bytes(header[:2], "little")
    size = SGX_BODY if version == 3 else TD10_BODY if version == 4 else _td_body_size(reader)
    body = reader.take(size, "report body")
    signed = raw[: len(raw) - reader.left()]
    data = _Reader(reader.take(reader.number(4, "signature data length"), "signature data"))
    signature = data.take(64, "quote signature")
    attestation_key = data.take(64, "attestation key")
    if version != 3:
        # 1.2: from v4 on, what vouches for the key is certification data of its own kind.
        kind, content = _certification(data)
        if kind != _CERT_DATA_QE_REPORT:
            raise RejectedError(Code.QUOTE_CERT_DATA_TYPE, f"outer certification data type {kind} is not 6")
        data = _Reader(content)
    qe_report = data.take(SGX_BODY, "QE report")
    qe_report_signature = data.take(64, "QE report signature")
    qe_auth_data = data.take(data.number(2, "QE authentication data length"), "QE authentication data")
    certification_type, certification_data = _certification(data)
    quote = Quote(
        version=version,
        signed=signed,
        report=parse_report(body) if version == 3 else parse_td_report(body),
        signature=signature,
        attestation_key=attestation_key,
        qe_report_bytes=qe_report,
        qe_report=parse_report(qe_report),
        qe_report_signature=qe_report_signature,
        qe_auth_data=qe_auth_data,
        certification_type=certification_type,
        certification_data=certification_data,
    )
    return quote, reader.rest()


def _td_body_size(reader: _Reader) -> int:
    kind = reader.number(2, "body type")
    size = reader.number(4, "body size")
    if _TD_BODIES.get(kind) != size:
        raise RejectedError(
            Code.QUOTE_BODY_TYPE, f"body type {kind} of {size} bytes is neither a TD 1.0 nor a TD 1.5"
        )
    return size


def _certification(data: _Reader) -> tuple[int, bytes]:
    """Read the certification data, which ends what it stands in."""
    kind = data.number(2, "certification data type")
    content = data.take(data.number(4, "certification data length"), "certification data")
    if data.left():
        raise RejectedError(
            Code.QUOTE_TRAILING_DATA, f"{data.left()} bytes inside the signature data are not used"
        )
    return kind, content


def _check_header(header: bytes) -> None:
    version = int.from_bytes(header[0:2], "little")
    key_type = int.from_bytes(header[2:4], "little")
    tee = int.from_bytes(header[4:8], "little")
    if version not in (3, 4, 5):
        raise RejectedError(Code.QUOTE_VERSION, f"quote version {version}")
    if key_type != 2:
        raise RejectedError(Code.QUOTE_KEY_TYPE, f"attestation key type {key_type} is not 2, ECDSA P-256")
    if tee not in (_TEE_SGX, _TEE_TDX):
        raise RejectedError(Code.QUOTE_TEE_TYPE, f"TEE type 0x{tee:x}")
    if (version == 3) != (tee == _TEE_SGX):
        raise RejectedError(
            Code.QUOTE_VERSION_TEE_MISMATCH, f"quote version {version} with TEE type 0x{tee:x}"
        )
    vendor = header[12:28]
    if vendor != INTEL_QE_VENDOR:
        raise RejectedError(Code.QUOTE_QE_VENDOR, f"QE vendor {vendor.hex()} is not Intel's")
