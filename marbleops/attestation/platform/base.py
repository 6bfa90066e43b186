"""What a platform must offer, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from marbleops.attestation.platform.softcollateral import TEE_TCB_SVN
from marbleops.attestation.report import TD_SEPT_VE_DISABLE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TdIdentity:
    """What a trust domain is and runs on; with ``tee_tcb_svn2`` it is a TD 1.5.

    Raises ``ValueError`` where a field does not fit the report.
    """

    mr_td: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes] = (bytes(48), bytes(48), bytes(48), bytes(48))
    mr_config_id: bytes = bytes(48)
    mr_owner: bytes = bytes(48)
    attributes: int = TD_SEPT_VE_DISABLE
    xfam: int = 0x61AE7
    debug: bool = False
    tee_tcb_svn: bytes = bytes(TEE_TCB_SVN)
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes = bytes(48)

    def __post_init__(self) -> None:
        hashes = (self.mr_td, *self.rtmrs, self.mr_config_id, self.mr_owner, self.mr_service_td)
        if any(len(value) != 48 for value in hashes):
            raise ValueError("a measurement of a trust domain is 48 bytes")
        if any(len(svn) != 16 for svn in (self.tee_tcb_svn, self.tee_tcb_svn2) if svn is not None):
            raise ValueError("TEE_TCB_SVN is 16 bytes")
        if self.tee_tcb_svn2 is None and any(self.mr_service_td):
            raise ValueError("a TD 1.0 has no service domain")


class QuoteIssuer(Protocol):
    """Makes evidence for one enclave on one platform."""

    def quote(self, report_data: bytes) -> bytes:
        """Return evidence over at most 64 bytes, padded with zeros.

        Of an enclave it is an Open Enclave report (header v1 and quote), of a trust domain a raw quote.
        """
        ...
