"""What a verification answers: a stable code, the TCB status, the report, and every check made, in order.

The codes are the taxonomy of attestation.md 2.8; they are part of the wire and never renamed. A verdict says
what is running on which kind of platform, not whether that is wanted: that is ``appraisal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

INTEL: Final = "intel"
AMD: Final = "amd"
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
    # TDX: the module (step 16) and the attributes of the trust domain (step 19)
    TD_ATTRIBUTES_RESERVED = "TD_ATTRIBUTES_RESERVED"
    TD_SEPT_VE_DISABLE = "TD_SEPT_VE_DISABLE"
    TD_MIGRATABLE = "TD_MIGRATABLE"
    TD_SERVICE_TD = "TD_SERVICE_TD"
    TDX_SEAM_ATTRIBUTES = "TDX_SEAM_ATTRIBUTES"
    TDX_MODULE_MRSIGNER = "TDX_MODULE_MRSIGNER"
    TDX_MODULE_UNKNOWN = "TDX_MODULE_UNKNOWN"
    TDX_MODULE_TCB_NOT_SUPPORTED = "TDX_MODULE_TCB_NOT_SUPPORTED"
    # RA-TLS: the certificate around the evidence (1.3)
    RATLS_CERTIFICATE = "RATLS_CERTIFICATE"
    RATLS_KEY_BINDING = "RATLS_KEY_BINDING"
    # SEV-SNP (1.4); what has a counterpart above uses its code
    CRL_MISSING = "CRL_MISSING"
    HCL_NEEDS_TPM_QUOTE = "HCL_NEEDS_TPM_QUOTE"
    SNP_RESERVED = "SNP_RESERVED"
    SNP_SIGNING_KEY = "SNP_SIGNING_KEY"
    SNP_CERT_EXTENSION = "SNP_CERT_EXTENSION"
    SNP_PRODUCT = "SNP_PRODUCT"
    SNP_TCB_MISMATCH = "SNP_TCB_MISMATCH"
    SNP_CHIP_ID = "SNP_CHIP_ID"
    SNP_MIGRATION = "SNP_MIGRATION"
    SNP_SMT = "SNP_SMT"
    SNP_VMPL = "SNP_VMPL"
    SNP_TCB_TOO_LOW = "SNP_TCB_TOO_LOW"
    SNP_GUEST_SVN = "SNP_GUEST_SVN"
    SNP_AUTHOR_KEY = "SNP_AUTHOR_KEY"


class TcbStatus(StrEnum):
    """Intel's words for how current a platform is, spelled as manifests spell them (marblerun-core 10.4)."""

    UP_TO_DATE = "UpToDate"
    OUT_OF_DATE = "OutOfDate"
    REVOKED = "Revoked"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"


class Tee(StrEnum):
    """What kind of trusted execution environment reported."""

    SGX = "sgx"
    TDX = "tdx"
    SNP = "snp"


class AttestedReport(Protocol):
    """What the reports of every TEE have in common; ``isinstance`` tells which one it is."""

    @property
    def tee(self) -> Tee:
        """The kind of environment."""
        ...

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the environment asked to be bound to."""
        ...

    @property
    def debug(self) -> bool:
        """Whether its host may look into its memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was compared. ``expected`` and ``found`` are for people, in words or lower-case hex."""

    name: str
    ok: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The enclave report of an SGX quote (attestation.md 1.1); to be believed only with code ``OK``."""

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

    @property
    def tee(self) -> Tee:
        """Return SGX."""
        return Tee.SGX


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """The report of a trust domain (attestation.md 1.2); to be believed only with code ``OK``.

    The last two fields exist from TD 1.5 on: what the module is now, and the service domain that is bound.
    """

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    debug: bool
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes | None = None

    @property
    def tee(self) -> Tee:
        """Return TDX."""
        return Tee.TDX


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTcb:
    """The machine, as its PCK certificate and the matched TCB level describe it.

    ``tcb_date`` is ``None`` where it reaches no level. ``instance_id`` and the three flags are there only for
    machines whose certificate comes from the platform CA.
    """

    fmspc: bytes
    pce_id: bytes
    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    tcb_date: str | None
    tcb_evaluation_number: int
    tdx_components: tuple[int, ...] = ()
    qe_security_version: int = 0
    instance_id: bytes | None = None
    dynamic: bool | None = None
    cached_keys: bool | None = None
    smt: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of a verification.

    ``report`` may be present with a code other than ``OK``, to explain; it proves nothing then. ``checks``
    lists what was compared up to and including the first failure. ``trust_domain`` is the anchor's, not the
    evidence's. ``custom_claims`` are those of Open Enclave evidence, whose report data is their hash: what
    such an enclave vouches for is the claims, and without any it vouches for nothing (1.3). ``within_grace``
    says that every outdated part of the platform is dated within the policy's ``platform_grace``.
    ``not_checked`` lists what the policy let be left open, in words for people.
    """

    code: Code
    status: TcbStatus | None
    advisories: tuple[str, ...]
    report: AttestedReport | None
    checks: tuple[Check, ...]
    trust_domain: str
    detail: str
    platform: PlatformTcb | None = None
    custom_claims: bytes | None = None
    within_grace: bool = False
    not_checked: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Say whether the evidence verifies. This is *not* the appraisal: see ``appraisal.appraise``."""
        return self.code is Code.OK
