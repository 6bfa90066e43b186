"""Sources of collateral: Intel's PCS, a PCCS, AMD's KDS; their paths, headers and encodings (2.7, 1.4).

A PCCS speaks as PCS does, except that it writes revocation lists in hexadecimal and serves the root's list
itself. What an answer is, its bytes decide; its content type only explains what came instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from marbleops.attestation.verdict import Tee
from marbleops.collateral import limits, transport
from marbleops.collateral.documents import (
    INTEL_KINDS,
    Document,
    DocumentError,
    Key,
    Kind,
    read_document,
)

if TYPE_CHECKING:
    from marbleops.collateral.transport import Answer, Transport

PCS_URL: Final = "https://api.trustedservices.intel.com"
KDS_URL: Final = "https://kdsintf.amd.com"
_PCS_HOST = ".trustedservices.intel.com"
_PCS_ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_API_PATH = re.compile(r"(?P<base>.*?)/(?:sgx|tdx)/certification/v(?P<api>[34])")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_CHAIN_HEADERS: Final = {
    Kind.TCB_INFO: ("TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"),
    Kind.QE_IDENTITY: ("SGX-Enclave-Identity-Issuer-Chain", "Enclave-Identity-Issuer-Chain"),
    Kind.PCK_CRL: ("SGX-PCK-CRL-Issuer-Chain", "PCK-CRL-Issuer-Chain"),
}
_BUSY = frozenset({429, 503})


class Dialect(StrEnum):
    """Whose interface a source speaks."""

    PCS = "pcs"
    PCCS = "pccs"
    KDS = "kds"


class SourceError(Exception):
    """A source did not serve a document: where, with which status, why, and when to ask again."""

    def __init__(
        self,
        url: str,
        cause: str,
        *,
        status: int | None = None,
        retry_after: timedelta = limits.RETRY_AFTER_ERROR,
        busy: bool = False,
    ) -> None:
        super().__init__(f"{url}: {f'HTTP {status}: ' if status else ''}{cause}")
        self.url = url
        self.status = status
        self.cause = cause
        self.retry_after = retry_after
        self.busy = busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One service. ``api`` is the version of Intel's interface, 3 or 4."""

    dialect: Dialect
    base: str
    api: int = 4

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``[pcs:|pccs:|kds:]URL``; the URL may be the one of an ``sgx_default_qcnl.conf``.

        Without a prefix, Intel's and AMD's own hosts are known and any other is a PCCS.
        Raises ``ValueError``.
        """
        prefix, separator, rest = text.partition(":")
        named = bool(separator) and prefix in {one.value for one in Dialect}
        parts = transport.check_url(rest if named else text)
        if parts.query:
            raise ValueError("a source's URL has no query")
        host = parts.hostname or ""
        if named:
            dialect = Dialect(prefix)
        elif host.endswith(_PCS_HOST):
            dialect = Dialect.PCS
        else:
            dialect = Dialect.KDS if KDS_URL.endswith(f"/{host}") else Dialect.PCCS
        base, api = parts.geturl().rstrip("/"), 4
        if dialect is not Dialect.KDS and (match := _API_PATH.fullmatch(base)):
            base, api = match["base"], int(match["api"])
        return cls(dialect=dialect, base=base, api=api)

    def __str__(self) -> str:
        return f"{self.dialect}:{self.base}" + ("/sgx/certification/v3" if self.api == 3 else "")

    def serves(self, key: Key) -> bool:
        """Say whether this kind of source has that kind of document: version 3 knows no TDX, no early set."""
        if (self.dialect is Dialect.KDS) != (key.kind not in INTEL_KINDS):
            return False
        return self.api == 4 or (key.tee is Tee.SGX and key.update == "standard")

    def url(self, key: Key) -> str:
        """Return where this source has the document."""
        root = f"{self.base}/{key.tee}/certification/v{self.api}"
        # Version 3 has one set only and no word for it.
        update = f"update={key.update}" if self.api == 4 else ""
        if key.kind is Kind.TCB_INFO:
            return f"{root}/tcb?fmspc={key.subject}" + (f"&{update}" if update else "")
        if key.kind is Kind.QE_IDENTITY:
            return f"{root}/qe/identity" + (f"?{update}" if update else "")
        if key.kind is Kind.PCK_CRL:
            return f"{root}/pckcrl?ca={key.subject}&encoding=der"
        if key.kind is Kind.ROOT_CRL:
            return self._root_crl(root)
        tail = {Kind.CERT_CHAIN: "/cert_chain", Kind.SNP_CRL: "/crl"}.get(key.kind, "")
        return f"{self.base}/{key.subject}{tail}"

    def _root_crl(self, root: str) -> str:
        if self.dialect is Dialect.PCCS:
            return f"{root}/rootcacrl"
        intel = (transport.check_url(self.base).hostname or "").endswith(_PCS_HOST)
        return _PCS_ROOT_CRL if intel else f"{self.base}/IntelSGXRootCA.der"


DEFAULT_SOURCES: Final = (Source.parse(PCS_URL), Source.parse(KDS_URL))


def fetch(source: Source, key: Key, way: Transport, *, at: datetime) -> Document:
    """Ask ``source`` for the document; ``at`` is when. Raises ``SourceError``."""
    url = source.url(key)
    try:
        answer = transport.get(url, way)
    except transport.TransportError as error:
        raise SourceError(url, str(error)) from error
    if answer.status != 200:
        raise _refusal(answer, at)
    try:
        chain = _issuer_chain(key.kind, answer)
        body = _from_hex(answer.body) if key.kind in (Kind.PCK_CRL, Kind.ROOT_CRL) else answer.body
        return read_document(key, body, chain)
    except DocumentError as error:
        raise SourceError(answer.url, _explained(key.kind, answer, error), status=200) from error


def _refusal(answer: Answer, at: datetime) -> SourceError:
    """Say what a status means and whether to wait."""
    status = answer.status
    words = {
        404: "it does not have the document",
        429: "too many requests",
        461: "the PCCS does not know this platform",
        462: "the PCCS has no certificate for this platform",
    }.get(status, "it refuses" if status < 500 else "it is in trouble")
    said = answer.header("Error-Message") or _plain(answer.body)
    request = answer.header("Request-ID")
    cause = f"{words}{f' ({said})' if said else ''}{f', request {request[:64]}' if request else ''}"
    busy = status in _BUSY
    wait = limits.RETRY_AFTER_NOT_FOUND if status in (404, 461, 462) else limits.RETRY_AFTER_ERROR
    if busy:
        wait = _retry_after(answer.header("Retry-After"), at)
        cause += f"; it asks for {wait.total_seconds():.0f} s of patience"
    return SourceError(
        answer.url, cause[: 2 * limits.MAX_CAUSE_LENGTH], status=status, retry_after=wait, busy=busy
    )


def _retry_after(value: str | None, at: datetime) -> timedelta:
    # RFC 9110, 10.2.3: seconds or a date.
    wait = limits.RETRY_WHEN_BUSY
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        wait = timedelta(seconds=min(int(text[:9]), limits.MAX_RETRY_AFTER.total_seconds()))
    elif text:
        try:
            when = parsedate_to_datetime(text)
            wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - at
        except ValueError:
            pass  # a date that is none is no date
    return min(max(wait, timedelta(seconds=1)), limits.MAX_RETRY_AFTER)


def _issuer_chain(kind: Kind, answer: Answer) -> str:
    if kind not in _CHAIN_HEADERS:
        return ""
    chain = answer.header(*_CHAIN_HEADERS[kind])
    if chain is None:
        raise DocumentError(f"the header {_CHAIN_HEADERS[kind][0]} is missing")
    text = unquote(chain)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise DocumentError(f"the header {_CHAIN_HEADERS[kind][0]} holds no certificate")
    return text


def _from_hex(body: bytes) -> bytes:
    # DER starts with 30, which is also a digit; a whole list in digits it is not.
    text = body.strip().strip(b'"')
    return bytes.fromhex(text.decode()) if _HEX.fullmatch(text) else body


def _explained(kind: Kind, answer: Answer, error: DocumentError) -> str:
    expected = "JSON" if kind in (Kind.TCB_INFO, Kind.QE_IDENTITY) else "certificates or a revocation list"
    content_type = (answer.header("Content-Type") or "none")[:80]
    start = answer.body.lstrip()[:9].lower()
    if start.startswith((b"<!doctype", b"<html")):
        return f"answers with an HTML page, not {expected}: is there a login or a proxy in between?"
    if not answer.body:
        return f"answers with nothing, not {expected}"
    return f"not {expected} that can be used: {error} ({len(answer.body)} bytes, content type {content_type})"


def _plain(body: bytes) -> str:
    text = body[: limits.MAX_CAUSE_LENGTH].decode("ascii", "replace").strip()
    return "" if text.startswith("<") or not text.isprintable() else text
