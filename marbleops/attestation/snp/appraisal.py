"""Appraisal of a guest: whether a verdict describes the one that is asked for, field by field (2.4).

MarbleRun does not know SEV-SNP; the rules are made as its packages' are. What runs in a guest is its
``measurement``; who signed it is ``id_key_digest``, with a minimum ``guest_svn`` for its releases.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from marbleops.attestation.appraisal import Appraisal
from marbleops.attestation.snp.fields import names_of
from marbleops.attestation.snp.policy import DEFAULT, SnpPolicy, judge
from marbleops.attestation.snp.report import PlatformInfo, SnpReport
from marbleops.attestation.verdict import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.attestation.verdict import Verdict

REPORT_DATA_BYTES: Final = 64
_SIZES: Final = {
    "measurement": 48,
    "host_data": 32,
    "id_key_digest": 48,
    "author_key_digest": 48,
    "family_id": 16,
    "image_id": 16,
}
NO_PLATFORM_INFO: Final = PlatformInfo(0)
_Judged = tuple[Check, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpReferenceValues:
    """What a guest must be. ``None`` and an empty set mean *not pinned*; values are bytes as in the report.

    Without ``measurement``, and without ``id_key_digest`` together with ``guest_svn``, nothing says which
    software runs, and only a guest for debugging is accepted. ``policy`` holds the permissions and minimum
    versions; its ``allow_debug`` and ``minimum_guest_svn`` are overruled by ``debug`` and ``guest_svn`` here,
    and ``require_crl`` is the verifier's. Raises ``ValueError`` for a value of the wrong size.
    """

    debug: bool = False
    measurement: bytes | None = None
    host_data: bytes | None = None
    id_key_digest: bytes | None = None
    author_key_digest: bytes | None = None
    family_id: bytes | None = None
    image_id: bytes | None = None
    guest_svn: int | None = None
    chip_ids: frozenset[bytes] = frozenset()
    required_platform_info: PlatformInfo = NO_PLATFORM_INFO
    policy: SnpPolicy = DEFAULT

    def __post_init__(self) -> None:
        for name, size in _SIZES.items():
            value = getattr(self, name)
            if value is not None and len(value) != size:
                raise ValueError(f"{name} is {size} bytes, not {len(value)}")
        if any(len(chip) != REPORT_DATA_BYTES for chip in self.chip_ids):
            raise ValueError("a chip identity is 64 bytes; Turin's 8 are followed by zeros")

    def pinned(self) -> tuple[str, ...]:
        """Return the names of the fields that are compared byte by byte."""
        return tuple(one.name for one in fields(self) if one.name in _SIZES and getattr(self, one.name))


def appraise_snp(verdict: Verdict, reference: SnpReferenceValues, *, report_data: bytes) -> Appraisal:
    """Compare ``verdict`` with ``reference`` field by field; ``report_data`` is what it must vouch for.

    It is 32 bytes, which zeros follow in the report, or all 64. Every field is compared, so that the reason
    names every difference at once. Raises ``ValueError`` where ``report_data`` has another length.
    """
    if len(report_data) not in (32, REPORT_DATA_BYTES):
        raise ValueError(f"expected report data is 32 or 64 bytes, not {len(report_data)}")
    judged = list(_judge(verdict, reference, report_data.ljust(REPORT_DATA_BYTES, b"\0")))
    failing = [words for check, words in judged if not check.ok]
    return Appraisal(
        accepted=not failing, checks=tuple(check for check, _ in judged), reason="; ".join(failing)
    )


def _judge(verdict: Verdict, reference: SnpReferenceValues, report_data: bytes) -> Iterator[_Judged]:
    ok = verdict.accepted
    words = f"Evidence: {verdict.code}: {verdict.detail}"
    yield Check(name="Evidence", ok=ok, expected="OK", found=verdict.code.value), words
    report = verdict.report
    if report is None:
        return
    if not isinstance(report, SnpReport):
        yield _field("Environment", ok=False, asks="snp", has=report.tee.value)
        return
    ok = hmac.compare_digest(report.report_data, report_data)
    yield _field("Report data", ok=ok, asks=report_data.hex(), has=report.report_data.hex())
    yield _identified(reference)
    yield _field(
        "Debug", ok=report.debug == reference.debug, asks=str(reference.debug), has=str(report.debug)
    )
    yield from _identity(report, reference)
    yield from _platform(report, reference)
    for rule in judge(report, reference.policy):
        if rule.name not in ("Debug", "Guest SVN"):
            yield _field(rule.name, ok=rule.ok, asks=rule.expected, has=rule.found)


def _identified(reference: SnpReferenceValues) -> _Judged:
    signer = reference.id_key_digest is not None and reference.guest_svn is not None
    ok = reference.debug or reference.measurement is not None or signer
    expected = "measurement, or id_key_digest with guest_svn"
    found = ", ".join(reference.pinned()) or "nothing"
    words = f"Reference values: must pin {expected}, they pin {found}"
    return Check(name="Reference values", ok=ok, expected=expected, found=found), words


def _identity(report: SnpReport, reference: SnpReferenceValues) -> Iterator[_Judged]:
    for name in _SIZES:
        asks, has = getattr(reference, name), getattr(report, name)
        if asks is not None:
            yield _field(name, ok=asks == has, asks=asks.hex(), has=has.hex())
    if reference.author_key_digest is not None:
        # Without the bit the field is not what the name says (1.4).
        has = "an author key" if report.author_key_enabled else "no author key"
        yield _field("author key", ok=report.author_key_enabled, asks="an author key", has=has)
    if reference.guest_svn is not None:
        ok = report.guest_svn >= reference.guest_svn
        yield _field("guest_svn", ok=ok, asks=f"at least {reference.guest_svn}", has=str(report.guest_svn))


def _platform(report: SnpReport, reference: SnpReferenceValues) -> Iterator[_Judged]:
    if reference.chip_ids:
        # Zeros stand for a chip that does not say which one it is, never for one of a list.
        ok = any(report.chip_id) and report.chip_id in reference.chip_ids
        asks = " or ".join(sorted(chip.hex() for chip in reference.chip_ids))
        yield _field("chip_id", ok=ok, asks=asks, has=report.chip_id.hex())
    wanted = reference.required_platform_info
    if wanted:
        names, there = names_of(wanted, PlatformInfo), names_of(report.platform_info, PlatformInfo)
        ok = set(names) <= set(there)
        yield _field("platform_info", ok=ok, asks=", ".join(names), has=", ".join(there))


def _field(name: str, *, ok: bool, asks: str, has: str) -> _Judged:
    words = f"{name}: reference values ask for {asks}, the guest has {has}"
    return Check(name=name, ok=ok, expected=asks, found=has), words
