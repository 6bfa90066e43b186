"""The attestation report of SEV-SNP, versions 2 to 5 (attestation.md 1.4; AMD 56860, MSG_REPORT_REQ).

A report has one size and fixed offsets. What a version reserves must be zero, and only zeros may follow, so
that no two byte strings say the same. Versions differ in little: 3 adds CPUID, 5 adds mitigation vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Final

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.verdict import Code, Tee

REPORT_BYTES: Final = 0x4A0
SIGNED_BYTES: Final = 0x2A0
VERSIONS: Final = range(2, 6)
HCL_MAGIC: Final = b"HCLA"  # Azure's paravisor puts 32 bytes of its own before the report

_SIGNATURE_HALF = 72
_ECDSA_P384_SHA384 = 1
_MUST_BE_ONE = 1 << 17
_SMALL = 256
# First byte and end of what is reserved, and the versions for which it is.
_RESERVED: Final = (
    (0x04C, 0x050, VERSIONS),
    (0x188, 0x18B, range(2, 3)),
    (0x18B, 0x1A0, VERSIONS),
    (0x1EB, 0x1EC, VERSIONS),
    (0x1EF, 0x1F0, VERSIONS),
    (0x1F8, 0x208, range(2, 5)),
    (0x208, SIGNED_BYTES, VERSIONS),
    (SIGNED_BYTES + 2 * _SIGNATURE_HALF, REPORT_BYTES, VERSIONS),
)


class ProductLine(StrEnum):
    """The processors with a root key of their own, named as in AMD's certificates."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


class SigningKey(StrEnum):
    """Which kind of key signs: one fused into the chip, or one that AMD lent to a cloud provider."""

    VCEK = "VCEK"
    VLEK = "VLEK"
    NONE = "none"


class GuestPolicy(IntFlag):
    """What the host may do with the guest, as fixed at its launch; the low 16 bits are an ABI version."""

    SMT = 1 << 16
    MIGRATE_MA = 1 << 18
    DEBUG = 1 << 19
    SINGLE_SOCKET = 1 << 20
    CXL = 1 << 21
    MEM_AES_256_XTS = 1 << 22
    RAPL_DISABLED = 1 << 23
    CIPHERTEXT_HIDING = 1 << 24
    PAGE_SWAP_DISABLED = 1 << 25


class PlatformInfo(IntFlag):
    """How the machine is set up."""

    SMT = 1 << 0
    TSME = 1 << 1
    ECC = 1 << 2
    RAPL_DISABLED = 1 << 3
    CIPHERTEXT_HIDING = 1 << 4
    ALIAS_CHECK_COMPLETE = 1 << 5
    IOMMU_WRITE_SAFE = 1 << 6
    TIO = 1 << 7


_POLICY_BITS: Final = 26
_PLATFORM_BITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpTcb:
    """The versions of a platform's security-relevant firmware; ``fmc`` exists on Turin only."""

    bootloader: int
    tee: int
    snp: int
    microcode: int
    fmc: int | None = None

    def reaches(self, minimum: SnpTcb) -> bool:
        """Say whether no component is below that of ``minimum``; a component not there counts as 0."""
        return all(
            mine >= floor for mine, floor in zip(self._components(), minimum._components(), strict=True)
        )

    def _components(self) -> tuple[int, ...]:
        return (self.fmc or 0, self.bootloader, self.tee, self.snp, self.microcode)

    def __str__(self) -> str:
        fmc = "" if self.fmc is None else f"fmc {self.fmc} "
        return f"{fmc}bootloader {self.bootloader} tee {self.tee} snp {self.snp} microcode {self.microcode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpReport:
    """A guest and its machine, as the security processor saw them; to be believed only with code ``OK``.

    ``cpuid`` (family, model, stepping) exists from version 3 on, the mitigation vectors from version 5 on.
    Firmware versions are (major, minor, build). ``turin_layout`` tells how the TCBs were encoded.
    """

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: SnpTcb
    platform_info: int
    author_key_enabled: bool
    chip_key_masked: bool
    signing_key: SigningKey
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: SnpTcb
    cpuid: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: SnpTcb
    current_version: tuple[int, int, int]
    committed_version: tuple[int, int, int]
    launch_tcb: SnpTcb
    launch_mitigations: int | None
    current_mitigations: int | None
    turin_layout: bool

    @property
    def tee(self) -> Tee:
        """Return SNP."""
        return Tee.SNP

    @property
    def debug(self) -> bool:
        """Say whether the host may decrypt the guest's memory."""
        return self.allows(GuestPolicy.DEBUG)

    def allows(self, bit: GuestPolicy) -> bool:
        """Say whether the guest policy has ``bit``."""
        return bool(self.policy & bit)

    def abi(self) -> tuple[int, int]:
        """Return the version of the firmware's ABI that the guest asked for: major, minor."""
        return self.policy >> 8 & 0xFF, self.policy & 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReport:
    """A report with the bytes that are signed and the two numbers of the signature."""

    report: SnpReport
    signed: bytes
    r: int
    s: int


def is_hcl(evidence: bytes) -> bool:
    """Say whether ``evidence`` is an Azure report, which a virtual TPM completes."""
    return evidence.startswith(HCL_MAGIC)


def is_snp(evidence: bytes) -> bool:
    """Say whether ``evidence`` means to be a report, also one cut short or of another version.

    A raw quote has its attestation key type in the upper half of the first number. Open Enclave evidence
    starts with a small number, too; the quote in it has the vendor's UUID where a report names its
    signature algorithm, and which is longer.
    """
    version, algorithm = _number(evidence, 0, 4), _number(evidence, 0x34, 4)
    if 0 < version < _SMALL and algorithm == _ECDSA_P384_SHA384:
        return True
    return version in VERSIONS and len(evidence) >= REPORT_BYTES and not any(evidence[REPORT_BYTES:])


def parse_report(evidence: bytes) -> SignedReport:
    """Parse a report, which zeros may follow; raises ``RejectedError`` and nothing else."""
    _check_shape(evidence)
    version = _number(evidence, 0, 4)
    for begin, end, versions in _RESERVED:
        if version in versions and any(evidence[begin:end]):
            text = f"bytes 0x{begin:x} to 0x{end - 1:x} are reserved in version {version} and not zero"
            raise RejectedError(Code.SNP_RESERVED, text)
    half = SIGNED_BYTES + _SIGNATURE_HALF
    return SignedReport(
        report=_read(evidence, version),
        signed=evidence[:SIGNED_BYTES],
        r=_number(evidence, SIGNED_BYTES, _SIGNATURE_HALF),
        s=_number(evidence, half, _SIGNATURE_HALF),
    )


def line_of_cpuid(family: int, model: int) -> ProductLine | None:
    """Return the product line of a processor; ``None`` for one that is not known to have a root key."""
    if family == 0x19 and model <= 0x0F:
        return ProductLine.MILAN
    if family == 0x19 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):
        return ProductLine.GENOA
    if family == 0x1A and model <= 0x1F:
        return ProductLine.TURIN
    return None


def _check_shape(evidence: bytes) -> None:
    if len(evidence) > limits.MAX_EVIDENCE_BYTES:
        text = f"{len(evidence)} bytes, at most {limits.MAX_EVIDENCE_BYTES}"
        raise RejectedError(Code.EVIDENCE_TOO_LARGE, text)
    if is_hcl(evidence):
        text = "an Azure HCL report vouches for a virtual TPM only: what it measured needs a TPM quote"
        raise RejectedError(Code.HCL_NEEDS_TPM_QUOTE, text)
    if len(evidence) < REPORT_BYTES:
        raise RejectedError(
            Code.QUOTE_TRUNCATED, f"a report has {REPORT_BYTES} bytes, these are {len(evidence)}"
        )
    version = _number(evidence, 0, 4)
    if version not in VERSIONS:
        raise RejectedError(Code.QUOTE_VERSION, f"SNP report version {version} is not 2, 3, 4 or 5")
    algorithm = _number(evidence, 0x34, 4)
    if algorithm != _ECDSA_P384_SHA384:
        raise RejectedError(Code.QUOTE_KEY_TYPE, f"signature algorithm {algorithm} is not 1, ECDSA P-384")
    if any(evidence[REPORT_BYTES:]):
        text = f"{len(evidence) - REPORT_BYTES} bytes after the report are not all zero"
        raise RejectedError(Code.QUOTE_TRAILING_DATA, text)


def _read(data: bytes, version: int) -> SnpReport:
    cpuid = (data[0x188], data[0x189], data[0x18A]) if version >= 3 else None
    turin = _turin_layout(cpuid, data[0x1A0:0x1E0])
    author_key, masked, signing_key = _key_information(_number(data, 0x48, 4))
    return SnpReport(
        version=version,
        guest_svn=_number(data, 0x04, 4),
        policy=_policy(_number(data, 0x08, 8)),
        family_id=data[0x10:0x20],
        image_id=data[0x20:0x30],
        vmpl=_vmpl(_number(data, 0x30, 4)),
        current_tcb=parse_tcb(data[0x38:0x40], turin=turin),
        platform_info=_platform_info(_number(data, 0x40, 8)),
        author_key_enabled=author_key,
        chip_key_masked=masked,
        signing_key=signing_key,
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        host_data=data[0xC0:0xE0],
        id_key_digest=data[0xE0:0x110],
        author_key_digest=data[0x110:0x140],
        report_id=data[0x140:0x160],
        report_id_ma=data[0x160:0x180],
        reported_tcb=parse_tcb(data[0x180:0x188], turin=turin),
        cpuid=cpuid,
        chip_id=data[0x1A0:0x1E0],
        committed_tcb=parse_tcb(data[0x1E0:0x1E8], turin=turin),
        current_version=(data[0x1EA], data[0x1E9], data[0x1E8]),
        committed_version=(data[0x1EE], data[0x1ED], data[0x1EC]),
        launch_tcb=parse_tcb(data[0x1F0:0x1F8], turin=turin),
        launch_mitigations=_number(data, 0x1F8, 8) if version >= 5 else None,
        current_mitigations=_number(data, 0x200, 8) if version >= 5 else None,
        turin_layout=turin,
    )


def parse_tcb(raw: bytes, *, turin: bool) -> SnpTcb:
    """Read the eight bytes of a TCB version; raises ``RejectedError`` (SNP_RESERVED)."""
    if any(raw[4:7] if turin else raw[2:6]):
        raise RejectedError(Code.SNP_RESERVED, f"TCB {raw.hex()} has reserved bytes that are not zero")
    if turin:
        return SnpTcb(fmc=raw[0], bootloader=raw[1], tee=raw[2], snp=raw[3], microcode=raw[7])
    return SnpTcb(bootloader=raw[0], tee=raw[1], snp=raw[6], microcode=raw[7])


def _turin_layout(cpuid: tuple[int, int, int] | None, chip_id: bytes) -> bool:
    # Version 2 does not name the processor. Turin's identity is 8 bytes in a field of 64 (1.4); a wrong guess
    # is caught when the certificate names its product line.
    if cpuid is None:
        return any(chip_id[:8]) and not any(chip_id[8:])
    return cpuid[0] >= 0x1A


def _key_information(bits: int) -> tuple[bool, bool, SigningKey]:
    if bits >> 5:
        raise RejectedError(Code.SNP_RESERVED, f"key information 0x{bits:x} has reserved bits")
    kinds = {0: SigningKey.VCEK, 1: SigningKey.VLEK, 7: SigningKey.NONE}
    kind = bits >> 2 & 7
    if kind not in kinds:
        raise RejectedError(Code.SNP_SIGNING_KEY, f"signing key {kind} is none of 0 VCEK, 1 VLEK, 7 none")
    return bool(bits & 1), bool(bits & 2), kinds[kind]


def _policy(bits: int) -> int:
    if not bits & _MUST_BE_ONE or bits >> _POLICY_BITS:
        text = f"guest policy 0x{bits:x}: bit 17 must be one, bits {_POLICY_BITS} to 63 zero"
        raise RejectedError(Code.SNP_RESERVED, text)
    return bits


def _vmpl(level: int) -> int:
    # 0 to 3 are privilege levels of the guest; all ones stands for a request by the host.
    if level > 3 and level != 0xFFFFFFFF:
        raise RejectedError(Code.SNP_VMPL, f"VMPL {level} does not exist")
    return level


def _platform_info(bits: int) -> int:
    if bits >> _PLATFORM_BITS:
        raise RejectedError(Code.SNP_RESERVED, f"platform information 0x{bits:x} has reserved bits")
    return bits


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")
