"""What a quote is bound to, in the first half of its report data (attestation.md 1.3, marblerun-core 10).

The second half is zero in every use and ``appraisal`` requires it to be.
"""

from __future__ import annotations

import hashlib


def coordinator_report_data(root_der: bytes, nonce: bytes = b"") -> bytes:
    """Return SHA-256 of the Coordinator's root certificate followed by the caller's nonce, if any."""
    return hashlib.sha256(root_der + nonce).digest()


def marble_report_data(certificate_der: bytes) -> bytes:
    """Return SHA-256 of the self-signed certificate with which a marble opened its TLS connection."""
    return hashlib.sha256(certificate_der).digest()
