"""The ladder of TCB levels: which one a platform stands on, and what lifts it to the next (2.2).

Intel says in TCB info what each component is (``category`` and ``type``); where it does not, the name that
the component usually has is given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marbleops.attestation import tcb, tdx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.attestation.verdict import PlatformTcb

_NAMES: Final = {
    "Early Microcode Update": "microcode (with the BIOS)",
    "SGX Late Microcode Update": "microcode (with the operating system)",
    "TDX Late Microcode Update": "microcode (with the operating system)",
    "TXT SINIT": "a newer SINIT module",
    "SEAMLDR ACM": "a newer SEAM loader",
    "TDX Module": "a newer TDX module",
    "BIOS": "a BIOS update",
}
_MAX_NAME: Final = 60
END_OF_SERVICE: Final = ("INTEL-DOC-10000", "INTEL-DOC-10001")
"""Advisories that say that a platform gets no updates any more (2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """One component that is too old for a level, and what updates it."""

    component: str
    has: int
    needs: int
    cure: str

    def __str__(self) -> str:
        return f"{self.component} {self.has} < {self.needs}: needs {self.cure}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A published level; ``gaps`` are what the platform lacks, ``stands_here`` is true for one at most."""

    of: str
    date: str
    status: str
    advisories: tuple[str, ...]
    gaps: tuple[GapRow, ...]
    stands_here: bool


def climb(info_text: str, info: tcb.TcbInfo, platform: PlatformTcb) -> tuple[Rung, ...]:
    """Hold a platform against every level of TCB info, best first."""
    has = platform.components, platform.pce_svn, platform.tdx_components or None
    here = tcb.match_platform(info.levels, *has)
    cures = _cures(info_text)
    return tuple(
        _rung("platform", level, tcb.gaps(level, *has), cures, stands_here=level is here)
        for level in info.levels
    )


def climb_qe(identity: tcb.QeIdentity, isv_svn: int) -> tuple[Rung, ...]:
    """Hold the quoting enclave against its levels."""
    return _isv_ladder("quoting enclave", identity.levels, isv_svn, "newer SGX platform software (DCAP)")


def climb_module(info: tcb.TcbInfo, svn: Sequence[int]) -> tuple[Rung, ...]:
    """Hold the TDX module against its levels; none where TCB info does not know it."""
    module = tdx.find_module(info, svn) if len(svn) > 1 else None
    return () if module is None else _isv_ladder("TDX module", module.levels, svn[0], "a newer TDX module")


def to_the_top(rungs: Sequence[Rung]) -> tuple[GapRow, ...]:
    """Return what is missing to the best level; nothing where the platform stands there."""
    return rungs[0].gaps if rungs and not rungs[0].stands_here else ()


def _isv_ladder(of: str, levels: Sequence[tcb.TcbLevel], isv_svn: int, cure: str) -> tuple[Rung, ...]:
    here = tcb.match_qe(levels, isv_svn)
    rungs = []
    for level in levels:
        short = isv_svn < level.isv_svn
        gap = tcb.Gap(component=f"{of} isvsvn", has=isv_svn, needs=level.isv_svn)
        missing = (gap,) if short else ()
        rungs.append(_rung(of, level, missing, {gap.component: cure}, stands_here=level is here))
    return tuple(rungs)


def _rung(
    of: str, level: tcb.TcbLevel, gaps: Sequence[tcb.Gap], cures: dict[str, str], *, stands_here: bool
) -> Rung:
    return Rung(
        of=of,
        date=level.date[:10],
        status=level.status,
        advisories=level.advisories,
        gaps=tuple(
            GapRow(
                component=gap.component,
                has=gap.has,
                needs=gap.needs,
                cure=cures.get(gap.component, "microcode"),
            )
            for gap in gaps
        ),
        stands_here=stands_here,
    )


def _cures(info_text: str) -> dict[str, str]:
    """Read what each component is from the first level that says so."""
    cures = {
        "pcesvn": "newer SGX platform software (PCE)",
        "tdx[0]": "a newer TDX module",
        "tdx[1]": "a newer TDX module",
    }
    levels = json.loads(info_text).get("tcbLevels") or [{}]
    for kind in ("sgx", "tdx"):
        components: list[dict[str, Any]] = levels[0].get("tcb", {}).get(f"{kind}tcbcomponents", [])
        for index, component in enumerate(components):
            told = component.get("type") or component.get("category")
            if isinstance(told, str):
                cures[f"{kind}[{index}]"] = _NAMES.get(told, told[:_MAX_NAME])
    return cures
