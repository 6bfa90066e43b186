"""Azure's report of the host compatibility layer: a report on behalf of a virtual TPM (attestation.md 1.4).

Thirty-two bytes, the SEV-SNP report, then runtime claims in JSON whose hash is its report data, with the
TPM's attestation key. The hardware vouches for that key and for the paravisor that keeps it; what was booted,
and whether all this is fresh, stands in the TPM's own quote. The layout is what published vectors show.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.snp.report import HCL_MAGIC, REPORT_BYTES, SnpReport, is_hcl, parse_report
from marbleops.attestation.verdict import Code

_HEADER: Final = 32
_CLAIMS_HEADER: Final = _HEADER + REPORT_BYTES
_CLAIMS: Final = _CLAIMS_HEADER + 20
_VERSIONS: Final = (1, 2)
_SNP: Final = 2  # 4 is TDX
_SHA256: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HclReport:
    """The report, not parsed yet, and the claims that its report data must be the hash of."""

    report: bytes
    claims: bytes

    def check_claims(self, report_data: bytes) -> None:
        """Raise ``RejectedError`` (EVIDENCE_CLAIMS) where ``report_data`` is not of these claims."""
        if report_data != hashlib.sha256(self.claims).digest().ljust(64, b"\0"):
            text = "the runtime claims are not the ones the report data is the hash of"
            raise RejectedError(Code.EVIDENCE_CLAIMS, text)


def unwrap_hcl(evidence: bytes) -> HclReport:
    """Take the wrapping apart, which zeros may follow; raises ``RejectedError``."""
    if len(evidence) > limits.MAX_EVIDENCE_BYTES:
        text = f"{len(evidence)} bytes, at most {limits.MAX_EVIDENCE_BYTES}"
        raise RejectedError(Code.EVIDENCE_TOO_LARGE, text)
    if len(evidence) < _CLAIMS:
        text = f"an HCL report has at least {_CLAIMS} bytes, these are {len(evidence)}"
        raise RejectedError(Code.QUOTE_TRUNCATED, text)
    version, size, kind = (_number(evidence, at) for at in (4, 8, 12))
    data_size, data_version, tee, algorithm, claims_size = (
        _number(evidence, _CLAIMS_HEADER + 4 * index) for index in range(5)
    )
    if not evidence.startswith(HCL_MAGIC) or version not in _VERSIONS or kind != _SNP or any(evidence[16:32]):
        raise RejectedError(Code.EVIDENCE_HEADER, f"HCL header {evidence[:_HEADER].hex()} is not known")
    if tee != _SNP:
        raise RejectedError(Code.HCL_NEEDS_TPM_QUOTE, f"HCL report of type {tee} is not SEV-SNP's, 2")
    if (data_version, algorithm) != (1, _SHA256):
        text = f"runtime claims of version {data_version} under hash {algorithm} are not known"
        raise RejectedError(Code.EVIDENCE_HEADER, text)
    end = _CLAIMS + claims_size
    if data_size != claims_size + 20 or size != end or end > len(evidence):
        raise RejectedError(Code.EVIDENCE_HEADER, f"HCL announces {size} bytes, {len(evidence)} are there")
    if any(evidence[end:]):
        raise RejectedError(Code.QUOTE_TRAILING_DATA, "bytes after the runtime claims are not all zero")
    return HclReport(report=evidence[_HEADER:_CLAIMS_HEADER], claims=evidence[_CLAIMS:end])


def report_inside(evidence: bytes) -> SnpReport:
    """Read the report that ``evidence`` is or wraps; nothing is verified. Raises ``RejectedError``."""
    if is_hcl(evidence):
        evidence = unwrap_hcl(evidence).report
    return parse_report(evidence).report


def _number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")
