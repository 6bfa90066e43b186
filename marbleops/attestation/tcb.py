"""TCB info and QE identity: parsing, level matching and convergence (attestation.md 2.2, 2.3).

The texts were signed before they come here, so the parser is strict about what it uses and indifferent to
what Intel may add. A status nobody knows is an error where it is matched, not where it merely stands in a
level.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import CollateralError, load_json_object
from marbleops.attestation.verdict import Code, TcbStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPONENTS = 16
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbLevel:
    """A set of minimum versions and what reaching them means; for a QE only ``isv_svn`` counts."""

    components: tuple[int, ...] = ()
    pce_svn: int = 0
    isv_svn: int = 0
    date: str
    status: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """The published levels of one family of platforms, best first."""

    issue_date: datetime
    next_update: datetime
    fmspc: bytes
    pce_id: bytes
    evaluation_number: int
    levels: tuple[TcbLevel, ...]


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


class _Fields:
    """Typed access to one parsed JSON object; anything missing or misshapen is ``code``."""

    def __init__(self, document: Any, code: Code, where: str) -> None:
        self._code, self._where = code, where
        if not isinstance(document, dict):
            self.fail("is not an object")
        self._document = document

    def fail(self, what: str) -> NoReturn:
        raise RejectedError(self._code, f"{self._where} {what}")

    def value(self, name: str) -> Any:
        if name not in self._document:
            self.fail(f"lacks {name}")
        return self._document[name]

    def optional(self, name: str) -> Any:
        return self._document.get(name)

    def number(self, name: str, limit: int) -> int:
        value = self.value(name)
        if type(value) is not int or not 0 <= value <= limit:
            self.fail(f"has a {name} that is not a number from 0 to {limit}")
        return value

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            self.fail(f"has a {name} that is not a string")
        return value

    def octets(self, name: str, length: int) -> bytes:
        text = self.text(name)
        try:
            value = bytes.fromhex(text)
        except ValueError:
            self.fail(f"has a {name} that is not hexadecimal")
        if len(value) != length or len(text) != 2 * length:
            self.fail(f"has a {name} that is not {length} bytes of hexadecimal")
        return value

    def time(self, name: str) -> datetime:
        text = self.text(name)
        try:
            value = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
        except ValueError:
            self.fail(f"has a {name} that is not a time in UTC")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        value = self.value(name)
        if not isinstance(value, list) or len(value) > limit:
            self.fail(f"has a {name} that is not a list of at most {limit}")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        if self.optional(name) is None:
            return ()
        words = self.items(name, limits.MAX_ADVISORIES)
        if not all(isinstance(word, str) and len(word) <= limits.MAX_ADVISORY_LENGTH for word in words):
            self.fail(f"has a {name} that is not a list of short strings")
        return tuple(words)


def parse_tcb_info(text: str) -> TcbInfo:
    """Parse TCB info for SGX, version 3 or 2; raises ``RejectedError`` (TCB_INFO_FORMAT, TCB_INFO_TYPE)."""
    code = Code.TCB_INFO_FORMAT
    fields = _Fields(_load(text, code), code, "TCB info")
    version = fields.number("version", 0xFFFF)
    # 2.7: version 2 is SGX only and has no id.
    kind = fields.text("id") if version != 2 else "SGX"
    if kind != "SGX" or version not in (2, 3):
        raise RejectedError(
            Code.TCB_INFO_TYPE, f"TCB info is for {kind}, version {version}; an SGX quote needs SGX, 3"
        )
    if fields.number("tcbType", 0xFF) != 0:
        raise RejectedError(Code.TCB_INFO_TYPE, "TCB info has a tcbType other than 0")
    levels = tuple(
        _platform_level(item, version) for item in fields.items("tcbLevels", limits.MAX_TCB_LEVELS)
    )
    return TcbInfo(
        issue_date=fields.time("issueDate"),
        next_update=fields.time("nextUpdate"),
        fmspc=fields.octets("fmspc", 6),
        pce_id=fields.octets("pceId", 2),
        evaluation_number=fields.number("tcbEvaluationDataNumber", 0xFFFFFFFF),
        levels=tuple(sorted(levels, key=lambda level: (level.components, level.pce_svn), reverse=True)),
    )


def parse_qe_identity(text: str) -> QeIdentity:
    """Parse the identity of an SGX quoting enclave; raises ``RejectedError`` (QE_IDENTITY_FORMAT, _TYPE)."""
    code = Code.QE_IDENTITY_FORMAT
    fields = _Fields(_load(text, code), code, "QE identity")
    kind, version = fields.text("id"), fields.number("version", 0xFFFF)
    if kind != "QE" or version != 2:
        raise RejectedError(
            Code.QE_IDENTITY_TYPE, f"identity of {kind}, version {version}; an SGX quote needs QE, 2"
        )
    levels = tuple(_qe_level(item) for item in fields.items("tcbLevels", limits.MAX_TCB_LEVELS))
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
        levels=tuple(sorted(levels, key=lambda level: level.isv_svn, reverse=True)),
    )


def match_platform(levels: Sequence[TcbLevel], components: Sequence[int], pce_svn: int) -> TcbLevel | None:
    """Return the best level that the platform reaches in every component and in PCESVN (2.2), or none."""
    for level in levels:
        enough = all(has >= needs for has, needs in zip(components, level.components, strict=True))
        if enough and pce_svn >= level.pce_svn:
            return level
    return None


def shortfalls(levels: Sequence[TcbLevel], components: Sequence[int], pce_svn: int) -> str:
    """Say by which components a platform misses the lowest level; for people."""
    if not levels:
        return "no level is published"
    lowest = levels[-1]
    pairs = enumerate(zip(components, lowest.components, strict=True))
    gaps = [f"sgx[{index}] {has}<{needs}" for index, (has, needs) in pairs if has < needs]
    if pce_svn < lowest.pce_svn:
        gaps.append(f"pcesvn {pce_svn}<{lowest.pce_svn}")
    return ", ".join(gaps) or "below every level"


def match_qe(levels: Sequence[TcbLevel], isv_svn: int) -> TcbLevel | None:
    """Return the best level that the quoting enclave reaches, or none."""
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


def _load(text: str, code: Code) -> dict[str, Any]:
    try:
        return load_json_object(text, limit=limits.MAX_SIGNED_JSON_BYTES)
    except CollateralError as error:
        raise RejectedError(code, str(error)) from error


def _platform_level(item: Any, version: int) -> TcbLevel:
    level = _Fields(item, Code.TCB_INFO_FORMAT, "a TCB level")
    tcb = _Fields(level.value("tcb"), Code.TCB_INFO_FORMAT, "tcb")
    if version == 2:
        components = tuple(
            tcb.number(f"sgxtcbcomp{index:02d}svn", 0xFF) for index in range(1, _COMPONENTS + 1)
        )
    else:
        entries = tcb.items("sgxtcbcomponents", _COMPONENTS)
        components = tuple(
            _Fields(entry, Code.TCB_INFO_FORMAT, "component").number("svn", 0xFF) for entry in entries
        )
        if len(components) != _COMPONENTS:
            tcb.fail(f"has {len(components)} components, not {_COMPONENTS}")
    return TcbLevel(
        components=components,
        pce_svn=tcb.number("pcesvn", 0xFFFF),
        date=level.text("tcbDate"),
        status=level.text("tcbStatus"),
        advisories=level.words("advisoryIDs"),
    )


def _qe_level(item: Any) -> TcbLevel:
    level = _Fields(item, Code.QE_IDENTITY_FORMAT, "a QE level")
    tcb = _Fields(level.value("tcb"), Code.QE_IDENTITY_FORMAT, "tcb")
    return TcbLevel(
        isv_svn=tcb.number("isvsvn", 0xFFFF),
        date=level.text("tcbDate"),
        status=level.text("tcbStatus"),
        advisories=level.words("advisoryIDs"),
    )
