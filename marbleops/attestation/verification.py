"""One verification under way: its inputs, its ledger, what is known so far, and the few tools it needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from marbleops.attestation.checks import Ledger, NoMemo, remembered
from marbleops.attestation.x509chain import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Memo
    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.policy import VerificationPolicy
    from marbleops.attestation.quote import Quote
    from marbleops.attestation.verdict import PlatformTcb, TcbStatus

T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """The inputs never change; what is below the ledger becomes known as the steps succeed."""

    collateral: Collateral
    anchors: Anchors
    at: datetime
    policy: VerificationPolicy
    memo: Memo
    ledger: Ledger
    quote: Quote | None = None
    status: TcbStatus | None = None
    advisories: tuple[str, ...] = ()
    platform: PlatformTcb | None = None
    within_grace: bool = False
    reader: Reader = field(default_factory=Reader)

    def recall(self, kind: str, parts: tuple[bytes, ...], work: Callable[[Ledger], T]) -> T:
        """Do ``work`` on exactly these ``parts``, or take its result and checks from the memory."""
        if isinstance(self.memo, NoMemo):
            return work(self.ledger)
        return remembered(self.memo, self.ledger, content_key(kind, *parts), work)


def signed_by(key: ec.EllipticCurvePublicKey, raw: bytes, message: bytes) -> bool:
    """Say whether ``raw`` is the key's signature of ``message``."""
    # Raw r||s, big-endian (1.1); a signature of another length is simply not one.
    if len(raw) != 64:
        return False
    encoded = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        key.verify(encoded, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def content_key(kind: str, *parts: bytes) -> tuple[str, bytes]:
    """Return the key of a memory under which the result for exactly these ``parts`` may be kept."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return kind, digest.digest()


def utf8(text: str) -> bytes:
    """Return the bytes of ``text``, whatever it is."""
    # Text that is not Unicode proper cannot come from JSON we read, but must get a verdict too.
    return text.encode(errors="surrogatepass")


def good(*, ok: bool) -> str:
    """Say it in a word."""
    return "good" if ok else "bad"
