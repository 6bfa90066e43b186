"""What only trust domains have: the TDX module, relaunch, and attributes (attestation.md 1.2, 2.1 to 2.3).

The module is the software that the processor runs beneath the guests. Two bytes of TEE_TCB_SVN are its
version and security version; Intel's TCB info says which signer each version has and how current it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marbleops.attestation import report, tcb
from marbleops.attestation.checks import Ledger, RejectedError
from marbleops.attestation.verdict import Code, TcbStatus, TdReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.attestation.policy import VerificationPolicy

_KNOWN: Final = (
    report.TD_DEBUG
    | report.TD_LASS
    | report.TD_SEPT_VE_DISABLE
    | report.TD_MIGRATABLE
    | report.TD_PKS
    | report.TD_KL
    | report.TD_TPA
    | report.TD_PERFMON
)
_OUTDATED: Final = (TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED)
_CURRENT: Final = (TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED)
_CURRENT_CONFIGURATION_NEEDED: Final = (
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
)


def find_module(info: tcb.TcbInfo, svn: Sequence[int]) -> tcb.TdxModule | None:
    """Return the module that TEE_TCB_SVN names, or none; version 0 is the module without a name (2.2)."""
    name = f"TDX_{svn[1]:02X}" if svn[1] else ""
    return next((module for module in info.modules if module.name.upper() == name), None)


def check_module(ledger: Ledger, found: TdReport, info: tcb.TcbInfo) -> tcb.TcbLevel | None:
    """Do step 16: the module is Intel's, and at a published level, which is returned.

    The module of version 0 has no levels of its own. Raises ``RejectedError`` (TDX_MODULE_UNKNOWN,
    TDX_MODULE_MRSIGNER, TDX_SEAM_ATTRIBUTES, TDX_MODULE_TCB_NOT_SUPPORTED).
    """
    module = find_module(info, found.tee_tcb_svn)
    version, svn = found.tee_tcb_svn[1], found.tee_tcb_svn[0]
    published = ", ".join(one.name for one in info.modules if one.name) or "none"
    known = f"one of {published}"
    ledger.require(
        "TDX module",
        Code.TDX_MODULE_UNKNOWN,
        ok=module is not None,
        expected=known,
        found=f"TDX_{version:02X}",
    )
    assert module is not None
    signer = found.mr_signer_seam
    ledger.equal("TDX module signer", Code.TDX_MODULE_MRSIGNER, expected=module.mr_signer, found=signer)
    # Bits outside the mask are not Intel's to vouch for: they must be clear.
    expected = (report.flags(module.attributes) & report.flags(module.attributes_mask)).to_bytes(8, "little")
    attributes = found.seam_attributes
    ledger.equal("TDX module attributes", Code.TDX_SEAM_ATTRIBUTES, expected=expected, found=attributes)
    if not version:
        return None
    level = tcb.match_qe(module.levels, svn)
    if level is None:
        failure = RejectedError(
            Code.TDX_MODULE_TCB_NOT_SUPPORTED, f"{module.name} with ISVSVN {svn} is below every level"
        )
        ledger.fail("TDX module level", failure, expected="a published level")
    return level


def relaunched(
    status: TcbStatus,
    found: TdReport,
    info: tcb.TcbInfo,
    *,
    components: Sequence[int],
    pce_svn: int,
    qe: TcbStatus,
) -> TcbStatus:
    """Do step 18: where a TD 1.5 is outdated only because it was launched before an update, say so (2.3).

    What runs now is TEE_TCB_SVN2. It is judged like the versions at launch; if that is current, nothing but
    launching the domain again is missing. Raises ``RejectedError`` (TCB_STATUS_UNKNOWN).
    """
    svn = found.tee_tcb_svn2
    if svn is None or status not in _OUTDATED:
        return status
    level = tcb.match_platform(info.levels, components, pce_svn, svn)
    module = find_module(info, svn)
    if level is None or module is None:
        return status
    now = tcb.status_of(level)
    if svn[1]:
        module_level = tcb.match_qe(module.levels, svn[0])
        if module_level is None:
            return status
        now = tcb.converge(now, tcb.status_of(module_level))
    now = tcb.converge(now, qe)
    if now not in _CURRENT + _CURRENT_CONFIGURATION_NEEDED:
        return status
    if now in _CURRENT and status is TcbStatus.OUT_OF_DATE:
        return TcbStatus.TD_RELAUNCH_ADVISED
    return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED


def check_attributes(ledger: Ledger, found: TdReport, policy: VerificationPolicy) -> None:
    """Do step 19 under ``policy``.

    Raises ``RejectedError`` (TD_ATTRIBUTES_RESERVED, DEBUG_ENCLAVE, TD_SEPT_VE_DISABLE, TD_MIGRATABLE,
    TD_SERVICE_TD).
    """
    attributes = report.flags(found.td_attributes)
    reserved = attributes & ~_KNOWN
    ledger.require(
        "TD attributes",
        Code.TD_ATTRIBUTES_RESERVED,
        ok=not reserved,
        expected="no reserved bit",
        found=f"reserved bits {reserved:016x}" if reserved else f"{attributes:016x}",
    )
    ledger.debug(found=found.debug, allowed=policy.allow_debug)
    # Without it a host can take a page from the guest and have it continue in the #VE handler.
    disabled = bool(attributes & report.TD_SEPT_VE_DISABLE)
    ledger.require(
        "TD SEPT_VE_DISABLE",
        Code.TD_SEPT_VE_DISABLE,
        ok=disabled or not policy.td_sept_ve_disable_required,
        expected="set" if policy.td_sept_ve_disable_required else "set or not",
        found="set" if disabled else "not set",
    )
    migratable = bool(attributes & report.TD_MIGRATABLE)
    ledger.require(
        "TD MIGRATABLE",
        Code.TD_MIGRATABLE,
        ok=not migratable or policy.td_migratable_allowed,
        expected="set or not" if policy.td_migratable_allowed else "not set",
        found="set" if migratable else "not set",
    )
    service = found.mr_service_td
    bound = service is not None and any(service)
    ledger.require(
        "TD service TD",
        Code.TD_SERVICE_TD,
        ok=not bound or policy.td_service_td_allowed,
        expected="any or none" if policy.td_service_td_allowed else "none",
        found=service.hex() if service is not None and bound else "none",
    )
