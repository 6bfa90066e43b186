"""What a manifest may switch on: monotonic counters for marbles, and verdicts on quotes (core 9)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.approval import jsonread
from marbleops.wire.attest import UntrustedCoordinator
from marbleops.wire.envelope import Reading, data_object

if TYPE_CHECKING:
    from cryptography import x509

    from marbleops.wire.marblerun.session import Session

_MAX_UINT64 = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedQuote:
    """A quote, the TCB status the Coordinator found, and its root key's signature over both."""

    quote: bytes
    tcb_status: str
    signature: bytes


def set_monotonic_counter(session: Session, name: str, value: int) -> int:
    """Raise a counter of the session's marble to *value*; return what it was before.

    Raises:
        CoordinatorError: the feature is off, or the marble's certificate is not one of this deployment.
    """
    found = data_object(session.post("monotonic-counter", {"name": name, "value": value}))
    with Reading():
        previous = found.get("value")
        if isinstance(previous, bool) or not isinstance(previous, int) or not 0 <= previous <= _MAX_UINT64:
            raise jsonread.JsonShapeError("value: expected an unsigned integer")
        return previous


def sign_quote(session: Session, quote: bytes) -> SignedQuote:
    """Let the Coordinator verify an SGX quote and sign the verdict; raises CoordinatorError."""
    found = data_object(session.post("sign-quote", {"sgxQuote": base64.b64encode(quote).decode()}))
    with Reading():
        return SignedQuote(
            quote=quote,
            tcb_status=jsonread.text(found.get("tcbStatus"), name="tcbStatus", max_chars=64),
            signature=jsonread.base64_bytes(found.get("verificationSignature"), name="signature"),
        )


def verify_signed_quote(signed: SignedQuote, root: x509.Certificate) -> None:
    """Check that *root* signed this verdict on this quote.

    Raises:
        UntrustedCoordinator: it did not.
    """
    message = base64.b64encode(signed.quote) + signed.tcb_status.encode()
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UntrustedCoordinator("the root key is not an elliptic-curve key", code="root-key")
    try:
        key.verify(signed.signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise UntrustedCoordinator("the root key did not sign this verdict", code="bad-signature") from error
