"""What a verification answers: a stable code, the TCB status, the report, and every check made, in order.

The codes are the taxonomy of attestation.md 2.8; they are part of the wire and never renamed. A verdict says
what is running on which kind of platform, not whether that is wanted: that is ``appraisal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

INTEL: Final = "intel"
INSECURE_SIMULATION: Final = "insecure-simulation"


class Code(StrEnum):
    """Why evidence was refused; ``OK`` says that it verifies, with any TCB status but Revoked."""

    OK = "OK"
    # steps 1 to 3: bytes of the evidence
    EVIDENCE_TOO_LARGE = "EVIDENCE_TOO_LARGE"
    EVIDENCE_HEADER = "EVIDENCE_HEADER"
    EVIDENCE_CLAIMS = "EVIDENCE_CLAIMS"
    QUOTE_TRUNCATED = "QUOTE_TRUNCATED"
    QUOTE_VERSION = "QUOTE_VERSION"
    QUOTE_VERSION_TEE_MISMATCH = "QUOTE_VERSION_TEE_MISMATCH"
    QUOTE_TEE_TYPE = "QUOTE_TEE_TYPE"
    QUOTE_KEY_TYPE = "QUOTE_KEY_TYPE"
    QUOTE_QE_VENDOR = "QUOTE_QE_VENDOR"
    QUOTE_BODY_TYPE = "QUOTE_BODY_TYPE"
    QUOTE_CERT_DATA_TYPE = "QUOTE_CERT_DATA_TYPE"
    QUOTE_TRAILING_DATA = "QUOTE_TRAILING_DATA"
    UNSUPPORTED_TEE = "UNSUPPORTED_TEE"
    # steps 4 to 7: certificates and revocation lists
    COLLATERAL_FORMAT = "COLLATERAL_FORMAT"
    COLLATERAL_ROLLBACK = "COLLATERAL_ROLLBACK"
    CHAIN_LENGTH = "CHAIN_LENGTH"
    CHAIN_UNTRUSTED_ROOT = "CHAIN_UNTRUSTED_ROOT"
    CERT_FORMAT = "CERT_FORMAT"
    CERT_SIGNATURE = "CERT_SIGNATURE"
    CERT_CA_AS_LEAF = "CERT_CA_AS_LEAF"
    CERT_CONSTRAINTS = "CERT_CONSTRAINTS"
    CERT_NAME = "CERT_NAME"
    CERT_EXPIRED = "CERT_EXPIRED"
    CERT_REVOKED = "CERT_REVOKED"
    CRL_FORMAT = "CRL_FORMAT"
    CRL_ISSUER = "CRL_ISSUER"
    CRL_SIGNATURE = "CRL_SIGNATURE"
    CRL_EXPIRED = "CRL_EXPIRED"
    CRL_NOT_YET_VALID = "CRL_NOT_YET_VALID"
    # steps 8 and 9: signed collateral and the PCK extension
    TCB_INFO_SIGNATURE = "TCB_INFO_SIGNATURE"
    TCB_INFO_FORMAT = "TCB_INFO_FORMAT"
    TCB_INFO_TYPE = "TCB_INFO_TYPE"
    TCB_INFO_EXPIRED = "TCB_INFO_EXPIRED"
    TCB_INFO_NOT_YET_VALID = "TCB_INFO_NOT_YET_VALID"
    TCB_INFO_FMSPC = "TCB_INFO_FMSPC"
    TCB_INFO_PCEID = "TCB_INFO_PCEID"
    QE_IDENTITY_SIGNATURE = "QE_IDENTITY_SIGNATURE"
    QE_IDENTITY_FORMAT = "QE_IDENTITY_FORMAT"
    QE_IDENTITY_TYPE = "QE_IDENTITY_TYPE"
    QE_IDENTITY_EXPIRED = "QE_IDENTITY_EXPIRED"
    QE_IDENTITY_NOT_YET_VALID = "QE_IDENTITY_NOT_YET_VALID"
    PCK_EXTENSION = "PCK_EXTENSION"
    # steps 10 to 13: the quoting enclave and the quote
    QE_REPORT_SIGNATURE = "QE_REPORT_SIGNATURE"
    QE_REPORT_DATA = "QE_REPORT_DATA"
    QE_MRSIGNER = "QE_MRSIGNER"
    QE_ISVPRODID = "QE_ISVPRODID"
    QE_MISCSELECT = "QE_MISCSELECT"
    QE_ATTRIBUTES = "QE_ATTRIBUTES"
    QE_DEBUG = "QE_DEBUG"
    QUOTE_ATTESTATION_KEY = "QUOTE_ATTESTATION_KEY"
    QUOTE_SIGNATURE = "QUOTE_SIGNATURE"
    # steps 14 to 20: levels and attributes
    TCB_NOT_SUPPORTED = "TCB_NOT_SUPPORTED"
    TCB_STATUS_UNKNOWN = "TCB_STATUS_UNKNOWN"
    TCB_REVOKED = "TCB_REVOKED"
    QE_TCB_NOT_SUPPORTED = "QE_TCB_NOT_SUPPORTED"
    SGX_NOT_INIT = "SGX_NOT_INIT"
    DEBUG_ENCLAVE = "DEBUG_ENCLAVE"
    # TDX: in the taxonomy, answered UNSUPPORTED_TEE until the TDX steps are written
    TD_ATTRIBUTES_RESERVED = "TD_ATTRIBUTES_RESERVED"
    TD_SEPT_VE_DISABLE = "TD_SEPT_VE_DISABLE"
    TDX_SEAM_ATTRIBUTES = "TDX_SEAM_ATTRIBUTES"
    TDX_MODULE_MRSIGNER = "TDX_MODULE_MRSIGNER"
    TDX_MODULE_UNKNOWN = "TDX_MODULE_UNKNOWN"
    TDX_MODULE_TCB_NOT_SUPPORTED = "TDX_MODULE_TCB_NOT_SUPPORTED"


class TcbStatus(StrEnum):
    """Intel's words for how current a platform is, spelled as manifests spell them (marblerun-core 10.4)."""

    UP_TO_DATE = "UpToDate"
    OUT_OF_DATE = "OutOfDate"
    REVOKED = "Revoked"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was compared. ``expected`` and ``found`` are for people, in words or lower-case hex."""

    name: str
    ok: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The enclave report of a quote (attestation.md 1.1); to be believed only with code ``OK``."""

    unique_id: bytes
    signer_id: bytes
    product_id: int
    security_version: int
    debug: bool
    report_data: bytes
    cpu_svn: bytes
    misc_select: int
    attributes: bytes
    isv_family_id: bytes
    isv_ext_prod_id: bytes
    config_id: bytes
    config_svn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTcb:
    """The machine, as its PCK certificate and the matched TCB level describe it."""

    fmspc: bytes
    pce_id: bytes
    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    tcb_date: str
    tcb_evaluation_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of a verification.

    ``report`` may be present with a code other than ``OK``, to explain; it proves nothing then. ``checks``
    lists what was compared up to and including the first failure. ``trust_domain`` is the anchor's, not the
    evidence's.
    """

    code: Code
    status: TcbStatus | None
    advisories: tuple[str, ...]
    report: Report | None
    checks: tuple[Check, ...]
    trust_domain: str
    detail: str
    platform: PlatformTcb | None = None

    @property
    def accepted(self) -> bool:
        """Say whether the evidence verifies. This is *not* the appraisal: see ``appraisal.appraise``."""
        return self.code is Code.OK
