"""How current the platform is: steps 14 to 18 of attestation.md 2.1, which converge to one status (2.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from marbleops.attestation import tcb, tdx
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.verdict import Code, PlatformTcb, TcbStatus, TdReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.attestation.endorsements import Endorsed
    from marbleops.attestation.quote import Quote
    from marbleops.attestation.verification import Run

_TCB_DATE = "%Y-%m-%dT%H:%M:%SZ"
_OUTDATED = (TcbStatus.OUT_OF_DATE.value, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED.value)


def check_levels(run: Run, parsed: Quote, endorsed: Endorsed) -> None:
    """Do the steps 14 to 18; raises ``RejectedError``."""
    report, info = parsed.report, endorsed.tcb_info
    run.platform = _describe(parsed, endorsed)
    # 14 TCB level
    level = _platform_level(run, run.platform, info)
    run.platform = replace(run.platform, tcb_date=level.date)
    # 15 QE level
    qe_level = tcb.match_qe(endorsed.qe_identity.levels, parsed.qe_report.security_version)
    if qe_level is None:
        failure = RejectedError(
            Code.QE_TCB_NOT_SUPPORTED, f"QE ISVSVN {parsed.qe_report.security_version} is below every level"
        )
        run.ledger.fail("QE level", failure, expected="a published level")
        raise failure
    # 16 TDX module
    module_level = tdx.check_module(run.ledger, report, info) if isinstance(report, TdReport) else None
    matched = {"platform": level, "QE": qe_level} | ({"module": module_level} if module_level else {})
    advisories = (advisory for one in matched.values() for advisory in one.advisories)
    run.advisories = tuple(dict.fromkeys(advisories))
    run.within_grace = _within_grace(run, tuple(matched.values()))
    # 17 convergence; 18 relaunch
    run.status, found = _converge(run, run.platform, report, info, matched)
    ok = run.status is not TcbStatus.REVOKED
    run.ledger.require("TCB status", Code.TCB_REVOKED, ok=ok, expected="not Revoked", found=found)


def _describe(parsed: Quote, endorsed: Endorsed) -> PlatformTcb:
    extension, report = endorsed.extension, parsed.report
    return PlatformTcb(
        fmspc=extension.fmspc,
        pce_id=extension.pce_id,
        ppid=extension.ppid,
        components=extension.components,
        pce_svn=extension.pce_svn,
        tcb_date=None,
        tcb_evaluation_number=endorsed.tcb_info.evaluation_number,
        tdx_components=tuple(report.tee_tcb_svn) if isinstance(report, TdReport) else (),
        qe_security_version=parsed.qe_report.security_version,
        instance_id=extension.instance_id,
        dynamic=extension.dynamic,
        cached_keys=extension.cached_keys,
        smt=extension.smt,
    )


def _platform_level(run: Run, platform: PlatformTcb, info: tcb.TcbInfo) -> tcb.TcbLevel:
    has = platform.components, platform.pce_svn, platform.tdx_components or None
    level = tcb.match_platform(info.levels, *has)
    if level is None:
        gaps = tcb.shortfalls(info.levels, *has)
        failure = RejectedError(Code.TCB_NOT_SUPPORTED, f"below every published level: {gaps}")
        run.ledger.fail("TCB level", failure, expected="a published level")
        raise failure
    return level


def _converge(
    run: Run,
    platform: PlatformTcb,
    report: object,
    info: tcb.TcbInfo,
    matched: dict[str, tcb.TcbLevel],
) -> tuple[TcbStatus, str]:
    try:
        statuses = {name: tcb.status_of(level) for name, level in matched.items()}
        status = statuses["platform"]
        for name in ("module", "QE"):
            status = tcb.converge(status, statuses.get(name, TcbStatus.UP_TO_DATE))
        if isinstance(report, TdReport):
            status = tdx.relaunched(
                status,
                report,
                info,
                components=platform.components,
                pce_svn=platform.pce_svn,
                qe=statuses["QE"],
            )
    except RejectedError as error:
        run.ledger.fail("TCB status", error, expected="a known status")
        raise
    parts = ", ".join(f"{name} {one}" for name, one in statuses.items())
    return status, f"{status} ({parts})"


def _within_grace(run: Run, matched: Sequence[tcb.TcbLevel]) -> bool:
    """Say whether something is outdated, and all that is has a date within the policy's platform grace."""
    grace = run.policy.platform_grace
    dates = [level.date for level in matched if level.status in _OUTDATED]
    if not grace or not dates:
        return False
    try:
        oldest = min(datetime.strptime(date, _TCB_DATE).replace(tzinfo=UTC) for date in dates)
    except ValueError:
        return False
    return run.at - grace <= oldest
