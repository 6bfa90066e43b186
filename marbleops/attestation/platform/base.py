"""What a platform must offer, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """Who an enclave is: the measurement, the signer, and what the signer says about it.

    Raises ``ValueError`` where a field does not fit the report: 32-byte identities, 16-bit numbers.
    """

    unique_id: bytes
    signer_id: bytes
    product_id: int
    security_version: int
    debug: bool

    def __post_init__(self) -> None:
        for name, value in (("unique_id", self.unique_id), ("signer_id", self.signer_id)):
            if len(value) != 32:
                raise ValueError(f"{name} must be 32 bytes, not {len(value)}")
        for name, number in (("product_id", self.product_id), ("security_version", self.security_version)):
            if not 0 <= number <= 0xFFFF:
                raise ValueError(f"{name} must be between 0 and 65535, not {number}")


class QuoteIssuer(Protocol):
    """Makes evidence for one enclave on one platform."""

    def quote(self, report_data: bytes) -> bytes:
        """Return an Open Enclave report (header v1 and quote) over at most 64 bytes, padded with zeros."""
        ...
