"""Collateral that the host puts beside the Coordinator: one JSON document for each family of platforms.

A file is *the* collateral, a directory holds ``<FMSPC>.json`` for enclaves and ``<FMSPC>.tdx.json`` for trust
domains. What stands in it needs no trust: the verifier checks every signature and date. Where there is none
for a platform, its quotes are refused, in words that say which file to bring.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING

from cryptography import x509

from coordinator.errors import PlatformError
from marbleops.attestation import der, pck, tcb, x509chain
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.limits import MAX_COLLATERAL_BYTES
from marbleops.attestation.quote import CERT_DATA_PEM_CHAIN, Quote, parse_evidence
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_MAX_REMEMBERED = 16
_MAX_FILES = 64
_CHUNK = 64 * 1024


class NoCollateralError(Exception):
    """There is no collateral for this evidence; the text says what to bring."""


class CollateralFiles:
    """Reads documents whenever they are needed, and parses what it has not seen. For any number of threads.

    What a file holds is told by its bytes alone: sizes and times that Gramine gives are those of the first
    look, whatever the host has put there since.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._remembered: dict[bytes, Collateral] = {}
        self._lock = threading.Lock()

    def for_evidence(self, evidence: bytes) -> Collateral:
        """Return the collateral of the platform that made *evidence*, which nobody has verified yet.

        Raises:
            NoCollateralError: there is none that can be used.
            RejectedError: the bytes are no evidence.
        """
        parsed = parse_evidence(evidence)
        if self._path is None:
            raise NoCollateralError(
                "there is no collateral at all: set EDG_COORDINATOR_COLLATERAL to a directory of it"
            )
        if not self._path.is_dir():
            return self._load(self._path, "")
        fmspc = platform_of(parsed).fmspc.hex().upper()
        suffix = ".tdx" if parsed.report.tee is Tee.TDX else ""
        return self._load(self._path / f"{fmspc}{suffix}.json", f" for platforms with FMSPC {fmspc}")

    def seconds_to_expiry(self, at: datetime) -> Iterator[tuple[tuple[str, ...], float]]:
        """Give how long each document lasts, with the metric's labels; what is unreadable is left out."""
        if self._path is None:
            return
        paths = sorted(self._path.glob("*.json"))[:_MAX_FILES] if self._path.is_dir() else [self._path]
        for path in paths:
            tee = Tee.TDX if path.name.endswith(".tdx.json") else Tee.SGX
            with contextlib.suppress(NoCollateralError, RejectedError):
                collateral = self._load(path, "")
                for kind, name, end in _ends(collateral, tee):
                    yield (kind, tee, name, ""), (end - at).total_seconds()

    def _load(self, path: Path, whose: str) -> Collateral:
        try:
            raw = _read(path)
            key = hashlib.sha256(raw).digest()
            with self._lock:
                known = self._remembered.get(key)
            collateral = Collateral.from_json(raw) if known is None else known
        except FileNotFoundError as error:
            raise NoCollateralError(f"there is no collateral{whose}: put it at {path}") from error
        except OSError as error:
            raise NoCollateralError(
                f"the collateral{whose} at {path} cannot be read: {error.strerror}"
            ) from error
        except CollateralError as error:
            raise NoCollateralError(f"{path} is no collateral: {error}") from error
        with self._lock:
            if key not in self._remembered and len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = collateral
        return collateral


def _ends(collateral: Collateral, tee: Tee) -> Iterator[tuple[str, str, datetime]]:
    """Give the ends of the four documents, by kind and family of platforms; raises ``RejectedError``."""
    info = tcb.parse_tcb_info(collateral.tcb_info, tee)
    name = info.fmspc.hex().upper()
    yield "tcb-info", name, info.next_update
    yield "qe-identity", name, tcb.parse_qe_identity(collateral.qe_identity, tee).next_update
    for kind, raw in (("pck-crl", collateral.pck_crl), ("root-crl", collateral.root_ca_crl)):
        end = x509chain.parse_crl(raw, label=kind).next_update_utc
        if end is not None:
            yield kind, name, end


def _read(path: Path) -> bytes:
    parts: list[bytes] = []
    with path.open("rb", buffering=0) as file:
        while part := file.read(_CHUNK):
            parts.append(part)
            if _CHUNK * (len(parts) - 1) > MAX_COLLATERAL_BYTES:
                raise CollateralError(f"longer than {MAX_COLLATERAL_BYTES} bytes")
    return b"".join(parts)


def platform_of(quote: Quote) -> pck.PckExtension:
    """Return what the processor's certificate in *quote* says about the platform; nothing is verified.

    Raises:
        NoCollateralError: the quote carries no such certificate.
    """
    if quote.certification_type != CERT_DATA_PEM_CHAIN:
        raise NoCollateralError(
            f"the quote has certification data of type {quote.certification_type}, without a PCK certificate"
        )
    try:
        leaf = x509chain.parse_chain(quote.certification_data.rstrip(b"\0"), profile=x509chain.PCK)[0]
        values = [one.value.public_bytes() for one in leaf.extensions if _is_sgx(one)]
        if len(values) != 1:
            raise NoCollateralError("the quote's PCK certificate has no SGX extension")
        return pck.parse_pck_extension(values[0])
    except (RejectedError, der.DerError, ValueError, x509.DuplicateExtension) as error:
        raise NoCollateralError(f"the quote's PCK certificate cannot be read: {error}") from error


def _is_sgx(extension: x509.Extension[x509.ExtensionType]) -> bool:
    return extension.oid.dotted_string == pck.EXTENSION_OID


def require_readable(path: Path | None) -> None:
    """Check that *path*, where it is given, exists.

    Raises:
        PlatformError: it does not, which is a mistake in the start configuration.
    """
    if path is not None and not path.exists():
        raise PlatformError(f"EDG_COORDINATOR_COLLATERAL names {path}, which does not exist in the enclave")
