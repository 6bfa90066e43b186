"""A report field by field: names for machines, and the same in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marbleops.attestation import report as bits
from marbleops.attestation.verdict import Report, TdReport, Tee

if TYPE_CHECKING:
    from marbleops.attestation.snp.report import SnpReport
    from marbleops.attestation.verdict import AttestedReport, PlatformTcb

_SGX_FLAGS: Final = {
    0x1: "initialised",
    0x2: "DEBUG",
    0x4: "64-bit",
    0x10: "provisioning key",
    0x20: "launch key",
    0x80: "KSS",
    0x400: "AEX notify",
}
_TD_FLAGS: Final = {
    bits.TD_DEBUG: "DEBUG",
    bits.TD_LASS: "LASS",
    bits.TD_SEPT_VE_DISABLE: "SEPT_VE_DISABLE",
    bits.TD_MIGRATABLE: "MIGRATABLE",
    bits.TD_PKS: "PKS",
    bits.TD_KL: "KL",
    bits.TD_TPA: "TPA",
    bits.TD_PERFMON: "PERFMON",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a page."""

    label: str
    value: str


def fields_of(report: AttestedReport | None, platform: PlatformTcb | None) -> dict[str, Any]:
    """Return every field under its stable name: bytes as lower-case hex, numbers as numbers."""
    found: dict[str, Any] = {}
    if isinstance(report, Report):
        found = _sgx(report)
    elif isinstance(report, TdReport):
        found = _tdx(report)
    elif report is not None:
        found = _snp(report)
    if platform is not None:
        found |= _platform(platform)
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in found.items()}


def rows_of(report: AttestedReport) -> tuple[Row, ...]:
    """Return what a person asks first: who it is, whether it is for debugging, what it vouches for."""
    rows = [
        ("kind", {Tee.SGX: "SGX enclave", Tee.TDX: "TDX trust domain", Tee.SNP: "SEV-SNP guest"}[report.tee])
    ]
    if isinstance(report, Report):
        rows += [
            ("UniqueID (MRENCLAVE)", report.unique_id.hex()),
            ("SignerID (MRSIGNER)", report.signer_id.hex()),
            ("ProductID (ISVPRODID)", str(report.product_id)),
            ("SecurityVersion (ISVSVN)", str(report.security_version)),
            ("attributes", _named(bits.flags(report.attributes), _SGX_FLAGS)),
        ]
    elif isinstance(report, TdReport):
        rows += [
            ("MRTD (what was started)", report.mr_td.hex()),
            *((f"RTMR{index} (what was booted)", rtmr.hex()) for index, rtmr in enumerate(report.rtmrs)),
            ("attributes", _named(bits.flags(report.td_attributes), _TD_FLAGS)),
            ("TDX module", f"version {report.tee_tcb_svn[1]}, security version {report.tee_tcb_svn[0]}"),
        ]
    else:
        rows += _snp_rows(report)
    rows += [
        ("debug", "YES: its host can read its memory" if report.debug else "no"),
        ("report data", _report_data(report.report_data)),
    ]
    return tuple(Row(label=label, value=value) for label, value in rows)


def _report_data(data: bytes) -> str:
    if not any(data):
        return "empty: it vouches for nothing"
    return data.hex() if any(data[32:]) else f"{data[:32].hex()}, then zeros"


def _named(value: int, names: dict[int, str]) -> str:
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return ", ".join([*known, *([f"unknown bits 0x{rest:x}"] if rest else [])]) or "none"


def _sgx(report: Report) -> dict[str, Any]:
    return {
        "mr_enclave": report.unique_id,
        "mr_signer": report.signer_id,
        "isv_prod_id": report.product_id,
        "isv_svn": report.security_version,
        "attributes": report.attributes,
        "misc_select": report.misc_select,
        "cpu_svn": report.cpu_svn,
        "isv_ext_prod_id": report.isv_ext_prod_id,
        "isv_family_id": report.isv_family_id,
        "config_id": report.config_id,
        "config_svn": report.config_svn,
        "report_data": report.report_data,
    }


def _tdx(report: TdReport) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mr_td": report.mr_td,
        "mr_seam": report.mr_seam,
        "mr_signer_seam": report.mr_signer_seam,
        "seam_attributes": report.seam_attributes,
        "td_attributes": report.td_attributes,
        "xfam": report.xfam,
        "mr_config_id": report.mr_config_id,
        "mr_owner": report.mr_owner,
        "mr_owner_config": report.mr_owner_config,
        "tee_tcb_svn": report.tee_tcb_svn,
        "report_data": report.report_data,
    }
    found |= {f"rtmr{index}": rtmr for index, rtmr in enumerate(report.rtmrs)}
    if report.tee_tcb_svn2 is not None:
        found |= {"tee_tcb_svn2": report.tee_tcb_svn2, "mr_service_td": report.mr_service_td}
    return found


def _platform(platform: PlatformTcb) -> dict[str, Any]:
    return {
        "fmspc": platform.fmspc,
        "pce_id": platform.pce_id,
        "ppid": platform.ppid,
        "components": list(platform.components),
        "pce_svn": platform.pce_svn,
        "tdx_components": list(platform.tdx_components),
        "qe_isv_svn": platform.qe_security_version,
        "tcb_date": platform.tcb_date,
        "tcb_evaluation_data_number": platform.tcb_evaluation_number,
    }


def _snp(given: AttestedReport) -> dict[str, Any]:
    from marbleops.attestation.snp.fields import report_fields  # noqa: PLC0415

    return dict(report_fields(_as_snp(given)))


def _snp_rows(given: AttestedReport) -> list[tuple[str, str]]:
    from marbleops.attestation.snp.fields import policy_words  # noqa: PLC0415

    report = _as_snp(given)
    return [
        ("measurement (what was started)", report.measurement.hex()),
        ("host data", report.host_data.hex()),
        ("guest SVN", str(report.guest_svn)),
        ("guest policy", ", ".join(policy_words(report))),
        ("VMPL", str(report.vmpl)),
        ("signed by", report.signing_key.value),
        ("chip", report.chip_id.hex() if any(report.chip_id) else "does not say which one it is"),
        ("reported TCB", str(report.reported_tcb)),
        ("committed TCB", str(report.committed_tcb)),
        ("launch TCB", str(report.launch_tcb)),
    ]


def _as_snp(report: AttestedReport) -> SnpReport:
    # Imported where one is there already: most evidence is not AMD's, and the program starts faster without.
    from marbleops.attestation.snp.report import SnpReport  # noqa: PLC0415

    assert isinstance(report, SnpReport)
    return report
