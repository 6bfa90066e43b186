"""Collateral: what Intel (or the simulation) publishes about platforms, in one document (attestation.md 3).

The key names are dcap-qvl's, so that its files are ours. The texts of TCB info and QE identity are kept to
the byte, because their signatures cover exactly those bytes (2.7); nothing is interpreted here, ``tcb`` and
``x509chain`` do that after the signature.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from marbleops.attestation import limits

_TEXTS = (
    ("pck_crl_issuer_chain", limits.MAX_CHAIN_BYTES),
    ("tcb_info_issuer_chain", limits.MAX_CHAIN_BYTES),
    ("tcb_info", limits.MAX_SIGNED_JSON_BYTES),
    ("qe_identity_issuer_chain", limits.MAX_CHAIN_BYTES),
    ("qe_identity", limits.MAX_SIGNED_JSON_BYTES),
)
_BINARIES = (
    ("root_ca_crl", limits.MAX_CRL_BYTES),
    ("pck_crl", limits.MAX_CRL_BYTES),
    ("tcb_info_signature", 64),
    ("qe_identity_signature", 64),
)
_OPTIONAL = ("pck_certificate_chain", limits.MAX_CHAIN_BYTES)
_ORDER = (
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
)


class CollateralError(ValueError):
    """The document is not collateral: not JSON, a member missing, unknown, too long or of the wrong type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """Chains as PEM text, revocation lists as DER, signed documents as exact text with raw signatures."""

    pck_crl_issuer_chain: str
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: bytes
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: bytes
    pck_certificate_chain: str | None = None

    @classmethod
    def from_json(cls, text: str | bytes) -> Collateral:
        """Parse the document strictly; raises ``CollateralError``."""
        document = load_json_object(text, limit=limits.MAX_COLLATERAL_BYTES)
        known = {name for name, _ in _TEXTS + _BINARIES} | {_OPTIONAL[0]}
        if unknown := sorted(set(document) - known):
            raise CollateralError(f"unknown member {unknown[0]!r}")
        texts = {name: _text(document, name, limit) for name, limit in _TEXTS}
        binaries = {name: _binary(document, name, limit) for name, limit in _BINARIES}
        chain = None if document.get(_OPTIONAL[0]) is None else _text(document, *_OPTIONAL)
        members: dict[str, Any] = {**texts, **binaries}
        return cls(**members, pck_certificate_chain=chain)

    def to_json(self) -> str:
        """Return the document; ``from_json`` of it is equal to this object."""
        values = {name: getattr(self, name) for name in _ORDER}
        document = {
            name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()
        }
        if self.pck_certificate_chain is not None:
            document[_OPTIONAL[0]] = self.pck_certificate_chain
        return json.dumps(document, separators=(",", ":"))


def load_json_object(text: str | bytes, *, limit: int) -> dict[str, Any]:
    """Parse one JSON object within ``limit`` bytes, without duplicate names or NaN.

    Raises ``CollateralError``.
    """
    try:
        # A lone surrogate is a UnicodeEncodeError, which is a ValueError.
        raw = text.encode() if isinstance(text, str) else bytes(text)
        if len(raw) > limit:
            raise CollateralError(f"longer than {limit} bytes")
        document = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except CollateralError:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeError, and integers beyond Python's digit limit
        raise CollateralError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise CollateralError("nested too deeply") from error
    if not isinstance(document, dict):
        raise CollateralError("not a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise CollateralError("a member name occurs twice")
    return document


def _no_constant(word: str) -> None:
    raise CollateralError(f"{word} is not JSON")


def _text(document: dict[str, Any], name: str, limit: int) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise CollateralError(f"member {name!r} must be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:  # a lone surrogate
        raise CollateralError(f"member {name!r} is not Unicode text") from error
    if size > limit:
        raise CollateralError(f"member {name!r} is longer than {limit} bytes")
    # 2.7: structures of QCNL come with C's terminating NUL.
    return value.rstrip("\0")


def _binary(document: dict[str, Any], name: str, limit: int) -> bytes:
    text = _text(document, name, 2 * limit)
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise CollateralError(f"member {name!r} is not hexadecimal") from error
