"""TCB info and QE identity: parsing, level matching and convergence (attestation.md 2.2, 2.3).

A status nobody knows is an error where it is matched, not where it merely stands in a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.fields import Fields
from marbleops.attestation.verdict import Code, TcbStatus, Tee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_COMPONENTS = 16
_TCB_INFO_ID = {Tee.SGX: "SGX", Tee.TDX: "TDX"}
_QE_IDENTITY_ID = {Tee.SGX: "QE", Tee.TDX: "TD_QE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbLevel:
    """A set of minimum versions and what reaching them means.

    For a QE and for a TDX module only ``isv_svn`` counts; ``tdx_components`` are there for TDX alone.
    """

    components: tuple[int, ...] = ()
    pce_svn: int = 0
    tdx_components: tuple[int, ...] = ()
    isv_svn: int = 0
    date: str
    status: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModule:
    """Which TDX module Intel stands for, under a ``name`` like TDX_01, and its levels, best first."""

    name: str
    mr_signer: bytes
    attributes: bytes
    attributes_mask: bytes
    levels: tuple[TcbLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """The published levels of one family of platforms, best first.

    ``modules`` are there for TDX: first, without a name, the one of the time before modules had versions.
    """

    issue_date: datetime
    next_update: datetime
    fmspc: bytes
    pce_id: bytes
    evaluation_number: int
    levels: tuple[TcbLevel, ...]
    modules: tuple[TdxModule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """Which quoting enclave Intel stands for, and its levels, best first."""

    issue_date: datetime
    next_update: datetime
    misc_select: int
    misc_select_mask: int
    attributes: bytes
    attributes_mask: bytes
    mr_signer: bytes
    isv_prod_id: int
    evaluation_number: int
    levels: tuple[TcbLevel, ...]


def parse_tcb_info(text: str, tee: Tee = Tee.SGX) -> TcbInfo:
    """Parse TCB info for ``tee``: version 3, for SGX also 2.

    Raises ``RejectedError`` (TCB_INFO_FORMAT, TCB_INFO_TYPE).
    """
    fields = Fields.load(text, Code.TCB_INFO_FORMAT, "TCB info")
    version = fields.number("version", 0xFFFF)
    # 2.7: version 2 is SGX only and has no id.
    kind = fields.text("id") if version != 2 else _TCB_INFO_ID[Tee.SGX]
    if kind != _TCB_INFO_ID.get(tee) or version not in (2, 3):
        raise RejectedError(
            Code.TCB_INFO_TYPE,
            f"TCB info is for {kind}, version {version}; this quote needs {_TCB_INFO_ID.get(tee)}, 3",
        )
    if fields.number("tcbType", 0xFF) != 0:
        raise RejectedError(Code.TCB_INFO_TYPE, "TCB info has a tcbType other than 0")
    levels = [
        _platform_level(level, version, tee)
        for level in fields.objects("tcbLevels", limits.MAX_TCB_LEVELS, "a TCB level")
    ]
    best_first = sorted(
        levels, key=lambda one: (one.components, one.pce_svn, one.tdx_components), reverse=True
    )
    return TcbInfo(
        issue_date=fields.time("issueDate"),
        next_update=fields.time("nextUpdate"),
        fmspc=fields.octets("fmspc", 6),
        pce_id=fields.octets("pceId", 2),
        evaluation_number=fields.number("tcbEvaluationDataNumber", 0xFFFFFFFF),
        levels=tuple(best_first),
        modules=_modules(fields) if tee is Tee.TDX else (),
    )


def parse_qe_identity(text: str, tee: Tee = Tee.SGX) -> QeIdentity:
    """Parse the identity of the enclave that quotes for ``tee``, version 2.

    Raises ``RejectedError`` (QE_IDENTITY_FORMAT, QE_IDENTITY_TYPE).
    """
    fields = Fields.load(text, Code.QE_IDENTITY_FORMAT, "QE identity")
    kind, version = fields.text("id"), fields.number("version", 0xFFFF)
    if kind != _QE_IDENTITY_ID.get(tee) or version != 2:
        raise RejectedError(
            Code.QE_IDENTITY_TYPE,
            f"identity of {kind}, version {version}; this quote needs {_QE_IDENTITY_ID.get(tee)}, 2",
        )
    return QeIdentity(
        issue_date=fields.time("issueDate"),
        next_update=fields.time("nextUpdate"),
        misc_select=int.from_bytes(fields.octets("miscselect", 4), "big"),
        misc_select_mask=int.from_bytes(fields.octets("miscselectMask", 4), "big"),
        attributes=fields.octets("attributes", 16),
        attributes_mask=fields.octets("attributesMask", 16),
        mr_signer=fields.octets("mrsigner", 32),
        isv_prod_id=fields.number("isvprodid", 0xFFFF),
        evaluation_number=fields.number("tcbEvaluationDataNumber", 0xFFFFFFFF),
        levels=_isv_levels(fields, "a QE level"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One version that a platform lacks to reach a level."""

    component: str
    has: int
    needs: int

    def __str__(self) -> str:
        return f"{self.component} {self.has}<{self.needs}"


def gaps(
    level: TcbLevel, components: Sequence[int], pce_svn: int, tdx: Sequence[int] | None = None
) -> tuple[Gap, ...]:
    """Return what a platform lacks to reach ``level``; nothing where it does (2.2).

    ``tdx`` is TEE_TCB_SVN of a trust domain. Where its second byte names a version of the TDX module, the
    first two are judged by the identity of that module and do not count here.
    """
    pairs = [
        (f"sgx[{index}]", *pair) for index, pair in enumerate(zip(components, level.components, strict=True))
    ]
    pairs.append(("pcesvn", pce_svn, level.pce_svn))
    if tdx is not None:
        first = 2 if tdx[1] > 0 else 0
        named = enumerate(zip(tdx, level.tdx_components, strict=True))
        pairs += [(f"tdx[{index}]", *pair) for index, pair in named if index >= first]
    return tuple(Gap(component=name, has=has, needs=needs) for name, has, needs in pairs if has < needs)


def match_platform(
    levels: Sequence[TcbLevel], components: Sequence[int], pce_svn: int, tdx: Sequence[int] | None = None
) -> TcbLevel | None:
    """Return the best level that the platform reaches in everything (2.2), or none."""
    return next((level for level in levels if not gaps(level, components, pce_svn, tdx)), None)


def shortfalls(
    levels: Sequence[TcbLevel], components: Sequence[int], pce_svn: int, tdx: Sequence[int] | None = None
) -> str:
    """Say by which components a platform misses the lowest level; for people."""
    if not levels:
        return "no level is published"
    missing = gaps(levels[-1], components, pce_svn, tdx)
    return ", ".join(str(gap) for gap in missing) or "below every level"


def match_qe(levels: Sequence[TcbLevel], isv_svn: int) -> TcbLevel | None:
    """Return the best level that a quoting enclave, or a TDX module, of that version reaches, or none."""
    return next((level for level in levels if isv_svn >= level.isv_svn), None)


def status_of(level: TcbLevel) -> TcbStatus:
    """Return the level's status; raises ``RejectedError`` (TCB_STATUS_UNKNOWN)."""
    try:
        return TcbStatus(level.status)
    except ValueError:
        raise RejectedError(
            Code.TCB_STATUS_UNKNOWN, f"TCB status {level.status[:64]!r} is not known"
        ) from None


_WORSE_WITH_OLD_QE = {
    TcbStatus.UP_TO_DATE: TcbStatus.OUT_OF_DATE,
    TcbStatus.SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE,
    TcbStatus.CONFIGURATION_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
}


def converge(platform: TcbStatus, qe: TcbStatus) -> TcbStatus:
    """Join the two statuses by the table of 2.3.

    Intel gives a quoting enclave only UpToDate, OutOfDate or Revoked; any other word counts as OutOfDate.
    """
    if TcbStatus.REVOKED in (platform, qe):
        return TcbStatus.REVOKED
    if qe is TcbStatus.UP_TO_DATE:
        return platform
    return _WORSE_WITH_OLD_QE.get(platform, platform)


def _platform_level(level: Fields, version: int, tee: Tee) -> TcbLevel:
    tcb = level.inner("tcb", "tcb")
    if version == 2:
        components = tuple(
            tcb.number(f"sgxtcbcomp{index:02d}svn", 0xFF) for index in range(1, _COMPONENTS + 1)
        )
    else:
        components = _components(tcb, "sgxtcbcomponents")
    return TcbLevel(
        components=components,
        pce_svn=tcb.number("pcesvn", 0xFFFF),
        tdx_components=_components(tcb, "tdxtcbcomponents") if tee is Tee.TDX else (),
        date=level.text("tcbDate"),
        status=level.text("tcbStatus"),
        advisories=level.words("advisoryIDs"),
    )


def _components(tcb: Fields, name: str) -> tuple[int, ...]:
    # Several hundred in one document: not worth an object each.
    entries = tcb.items(name, _COMPONENTS)
    svns: list[Any] = [entry.get("svn") if isinstance(entry, dict) else None for entry in entries]
    if len(svns) != _COMPONENTS or not all(type(svn) is int and 0 <= svn <= 0xFF for svn in svns):
        tcb.fail(f"has {name} that are not {_COMPONENTS} numbers from 0 to 255")
    return tuple(svns)


def _isv_levels(fields: Fields, where: str) -> tuple[TcbLevel, ...]:
    levels = [
        TcbLevel(
            isv_svn=level.inner("tcb", "tcb").number("isvsvn", 0xFFFF),
            date=level.text("tcbDate"),
            status=level.text("tcbStatus"),
            advisories=level.words("advisoryIDs"),
        )
        for level in fields.objects("tcbLevels", limits.MAX_TCB_LEVELS, where)
    ]
    return tuple(sorted(levels, key=lambda level: level.isv_svn, reverse=True))


def _modules(fields: Fields) -> tuple[TdxModule, ...]:
    # The oldest modules have no version and no identity of their own, and their levels are the platform's.
    modules = [_module(fields.inner("tdxModule", "tdxModule"), "", ())]
    if fields.optional("tdxModuleIdentities") is not None:
        where = "a TDX module identity"
        modules += [
            _module(one, one.text("id"), _isv_levels(one, "a TDX module level"))
            for one in fields.objects("tdxModuleIdentities", limits.MAX_TDX_MODULES, where)
        ]
    if len({module.name for module in modules}) != len(modules):
        fields.fail("has two TDX module identities of one name")
    return tuple(modules)


def _module(fields: Fields, name: str, levels: tuple[TcbLevel, ...]) -> TdxModule:
    return TdxModule(
        name=name,
        mr_signer=fields.octets("mrsigner", 48),
        attributes=fields.octets("attributes", 8),
        attributes_mask=fields.octets("attributesMask", 8),
        levels=levels,
    )
