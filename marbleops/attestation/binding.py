"""What a quote is bound to, in its report data (attestation.md 1.3, marblerun-core 10).

The first half is MarbleRun's. The second half is zero in a marble's quote, and ``appraisal`` requires that.
In a Coordinator's quote it says where it stands and which manifest it enforces: MarbleRun's says only whose
key it is, so that whoever got hold of one deployment's root key could lend its genuine quotes to any manifest
(ADR 8). MarbleRun's clients look at the first half alone.
"""

from __future__ import annotations

import hashlib

_STATE = b"marbleops/coordinator-state/v1\0"


def coordinator_report_data(root_der: bytes, nonce: bytes = b"") -> bytes:
    """Return SHA-256 of the Coordinator's root certificate followed by the caller's nonce, if any."""
    return hashlib.sha256(root_der + nonce).digest()


def coordinator_state(phase: int, manifest: bytes | None) -> bytes:
    """Return 32 bytes that stand for a phase (its number on the wire) and an enforced manifest's SHA-256."""
    return hashlib.sha256(_STATE + bytes([phase]) + (manifest or b"")).digest()


def marble_report_data(certificate_der: bytes) -> bytes:
    """Return SHA-256 of the self-signed certificate with which a marble opened its TLS connection."""
    return hashlib.sha256(certificate_der).digest()
