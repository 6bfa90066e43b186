"""Appraisal: whether a verdict describes what is asked for (marblerun-core 1.2, 10.3, 10.4).

For enclaves the rules are MarbleRun's, with two refusals of ours (attestation.md 1.3, 2.4): the second half
of the report data must be zero, and a package that is not for debugging must say which enclave it means. For
trust domains, which MarbleRun does not know, they are made in the same way.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation import limits, report
from marbleops.attestation.verdict import AttestedReport, Check, Report, TcbStatus, TdReport, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_TCB_STATUSES: Final = (TcbStatus.SW_HARDENING_NEEDED.value,)
_UPDATED: Final = {
    TcbStatus.OUT_OF_DATE: TcbStatus.UP_TO_DATE,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: TcbStatus.CONFIGURATION_NEEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceValues:
    """The fields of a package. ``None`` and "" mean *not pinned*; identities are hex in any case."""

    debug: bool = False
    unique_id: str | None = None
    signer_id: str | None = None
    product_id: int | None = None
    security_version: int | None = None
    accepted_tcb_statuses: tuple[str, ...] = ()
    accepted_advisories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReferenceValues:
    """What a trust domain must be. ``None`` means *not pinned*; values are bytes as in the report.

    Who starts a domain measures it by ``mr_td``, what it booted by the ``rtmrs``; without ``mr_td`` and at
    least one of the latter nothing says which software runs, and only a debug domain is accepted. The masks
    say which bits of ``td_attributes`` and ``xfam`` count. A domain that may migrate, or to which a service
    domain is bound, is accepted only where that is said: whoever migrates it can read it.
    """

    debug: bool = False
    mr_td: bytes | None = None
    rtmrs: tuple[bytes | None, bytes | None, bytes | None, bytes | None] = (None, None, None, None)
    mr_seam: tuple[bytes, ...] = ()
    mr_config_id: bytes | None = None
    mr_owner: bytes | None = None
    mr_owner_config: bytes | None = None
    td_attributes: bytes | None = None
    td_attributes_mask: bytes = b"\xff" * 8
    xfam: bytes | None = None
    xfam_mask: bytes = b"\xff" * 8
    migratable: bool = False
    mr_service_td: bytes | None = None
    accepted_tcb_statuses: tuple[str, ...] = ()
    accepted_advisories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hashes = (self.mr_td, *self.rtmrs, *self.mr_seam, self.mr_config_id, self.mr_owner)
        if any(value is not None and len(value) != 48 for value in (*hashes, self.mr_owner_config)):
            raise ValueError("a measurement of a trust domain is 48 bytes")
        if self.mr_service_td is not None and len(self.mr_service_td) != 48:
            raise ValueError("the measurement of a service domain is 48 bytes")
        bits = (self.td_attributes, self.td_attributes_mask, self.xfam, self.xfam_mask)
        if any(value is not None and len(value) != 8 for value in bits):
            raise ValueError("attributes, XFAM and their masks are 8 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """Whether it is the wanted one, each field that was compared, and the failing ones in words."""

    accepted: bool
    checks: tuple[Check, ...]
    reason: str


def appraise(verdict: Verdict, reference: ReferenceValues, *, report_data: bytes) -> Appraisal:
    """Compare an enclave with ``reference`` field by field.

    ``report_data`` is the expected 64 bytes, or 32 that zeros follow; other lengths raise ``ValueError``. All
    fields are compared, so that the reason names every difference at once.
    """
    if len(report_data) != 64:
        _require_hash(report_data)
    return _conclude(_judge(verdict, reference, report_data))


def appraise_td(verdict: Verdict, reference: TdReferenceValues, *, report_data: bytes) -> Appraisal:
    """Compare a trust domain with ``reference`` field by field, as ``appraise`` does for an enclave.

    ``report_data`` is the expected 64 bytes, or 32 that zeros follow; other lengths raise ``ValueError``.
    """
    if len(report_data) != 64:
        _require_hash(report_data)
    return _conclude(_judge(verdict, reference, report_data))


def _require_hash(report_data: bytes) -> None:
    if len(report_data) != 32:
        raise ValueError(f"expected report data is the 32 bytes of a hash, not {len(report_data)}")


def _conclude(judgements: Iterator[tuple[Check, str]]) -> Appraisal:
    judged = list(judgements)
    failing = [words for check, words in judged if not check.ok]
    return Appraisal(
        accepted=not failing, checks=tuple(check for check, _ in judged), reason="; ".join(failing)
    )


def _judge(
    verdict: Verdict, reference: ReferenceValues | TdReferenceValues, report_data: bytes
) -> Iterator[tuple[Check, str]]:
    # 10.3: evidence, TCB status, advisories, report data, package; in this order.
    yield _evidence(verdict)
    report = verdict.report
    if report is None:
        return
    yield _tcb_status(verdict, reference)
    yield _advisories(verdict, reference)
    yield from _report_data(verdict, report, report_data)
    if isinstance(reference, TdReferenceValues):
        yield _pinned_td(reference)
        fields = _trust_domain(report, reference) if isinstance(report, TdReport) else None
    else:
        yield _pinned(reference)
        fields = _package(report, reference) if isinstance(report, Report) else None
    if fields is not None:
        yield from fields
    else:
        asks = "tdx" if isinstance(reference, TdReferenceValues) else "sgx"
        yield _field("TEE", ok=False, asks=asks, has=report.tee.value)


def _evidence(verdict: Verdict) -> tuple[Check, str]:
    return (
        Check(name="Evidence", ok=verdict.accepted, expected="OK", found=verdict.code.value),
        f"Evidence: {verdict.code}: {verdict.detail}",
    )


def _tcb_status(verdict: Verdict, reference: ReferenceValues | TdReferenceValues) -> tuple[Check, str]:
    # 10.4: UpToDate needs no listing, an empty list means SWHardeningNeeded, a list replaces that default,
    # words are case-sensitive. Ours: Revoked cannot be listed, and neither can a status this verifier does
    # not know.
    listed = reference.accepted_tcb_statuses or DEFAULT_TCB_STATUSES
    allowed = {TcbStatus.UP_TO_DATE.value, *listed} - {TcbStatus.REVOKED.value}
    status = verdict.status
    # 2.5: within its grace an outdated platform counts as what it would be with the update.
    effective = _UPDATED.get(status, status) if status is not None and verdict.within_grace else status
    ok = effective is not None and effective.value in allowed
    expected = " or ".join(
        dict.fromkeys((TcbStatus.UP_TO_DATE.value, *(word for word in listed if word in allowed)))
    )
    found = "unknown" if verdict.status is None else verdict.status.value
    words = f"TCB status: package accepts {expected}, the platform is {found}"
    if verdict.advisories:
        words += f" ({', '.join(verdict.advisories)})"
    return Check(name="TCB status", ok=ok, expected=expected, found=found), words


def _advisories(verdict: Verdict, reference: ReferenceValues | TdReferenceValues) -> tuple[Check, str]:
    # 10.4: only for SWHardeningNeeded and a non-empty list; every reported one must be in it, in any case.
    accepted = {advisory.casefold() for advisory in reference.accepted_advisories}
    looked_at = verdict.status is TcbStatus.SW_HARDENING_NEEDED and bool(accepted)
    excess = [one for one in verdict.advisories if one.casefold() not in accepted] if looked_at else []
    expected = ", ".join(reference.accepted_advisories) if looked_at else "any"
    found = ", ".join(verdict.advisories) or "none"
    words = f"Advisories: package accepts {expected}, the platform also has {', '.join(excess)}"
    return Check(name="Advisories", ok=not excess, expected=expected, found=found), words


def _report_data(verdict: Verdict, given: AttestedReport, expected: bytes) -> Iterator[tuple[Check, str]]:
    # 1.3: evidence with custom claims has spent its report data on their hash, so it vouches for the claims
    # and for what hashes to it. Without any it vouches for nothing, which is told apart from something else.
    claims = verdict.custom_claims
    head = given.report_data[: len(expected)]
    ok = hmac.compare_digest(head, expected)
    if claims is not None:
        ok = bool(claims) and (ok or hmac.compare_digest(claims, expected))
        head = claims
    found = (head.hex() or "nothing: no report data and no custom claims")[: limits.MAX_FOUND_TEXT]
    yield (
        Check(name="Report data", ok=ok, expected=expected.hex(), found=found),
        f"Report data: this connection needs {expected.hex()}, the enclave vouches for {found}",
    )
    tail = given.report_data[32:]
    if len(expected) == 32:
        yield (
            Check(name="Report data tail", ok=not any(tail), expected="32 zero bytes", found=tail.hex()),
            f"Report data tail: must be 32 zero bytes, the enclave has {tail.hex()}",
        )


def _pinned(reference: ReferenceValues) -> tuple[Check, str]:
    missing = [
        name
        for name, given in (
            ("SignerID", bool(reference.signer_id)),
            ("ProductID", reference.product_id is not None),
            ("SecurityVersion", reference.security_version is not None),
        )
        if not given
    ]
    ok = reference.debug or bool(reference.unique_id) or not missing
    found = "enough" if ok else f"no UniqueID and no {', '.join(missing)}"
    expected = "UniqueID, or SignerID with ProductID and SecurityVersion"
    return (
        Check(name="Package", ok=ok, expected=expected, found=found),
        f"Package: must pin {expected}, it has {found}",
    )


def _package(report: Report, reference: ReferenceValues) -> Iterator[tuple[Check, str]]:
    yield _field(
        "Debug", ok=report.debug == reference.debug, asks=_yes(reference.debug), has=_yes(report.debug)
    )
    if reference.unique_id:
        yield _identity("UniqueID", reference.unique_id, report.unique_id)
    if reference.signer_id:
        yield _identity("SignerID", reference.signer_id, report.signer_id)
    if reference.product_id is not None:
        ok = report.product_id == reference.product_id
        yield _field("ProductID", ok=ok, asks=str(reference.product_id), has=str(report.product_id))
    if reference.security_version is not None:
        ok = report.security_version >= reference.security_version
        asks = f"at least {reference.security_version}"
        yield _field("SecurityVersion", ok=ok, asks=asks, has=str(report.security_version))


def _pinned_td(reference: TdReferenceValues) -> tuple[Check, str]:
    measured = any(rtmr is not None for rtmr in reference.rtmrs)
    ok = reference.debug or (reference.mr_td is not None and measured)
    expected = "MRTD and at least one RTMR"
    found = "enough" if ok else "no MRTD" if reference.mr_td is None else "no RTMR"
    return (
        Check(name="Package", ok=ok, expected=expected, found=found),
        f"Package: must pin {expected}, it has {found}",
    )


def _trust_domain(found: TdReport, reference: TdReferenceValues) -> Iterator[tuple[Check, str]]:
    yield _field(
        "Debug", ok=found.debug == reference.debug, asks=_yes(reference.debug), has=_yes(found.debug)
    )
    pairs: list[tuple[str, bytes | None, bytes]] = [("MRTD", reference.mr_td, found.mr_td)]
    named = zip(reference.rtmrs, found.rtmrs, strict=True)
    pairs += [(f"RTMR{index}", *pair) for index, pair in enumerate(named)]
    pairs += [
        ("MRCONFIGID", reference.mr_config_id, found.mr_config_id),
        ("MROWNER", reference.mr_owner, found.mr_owner),
        ("MROWNERCONFIG", reference.mr_owner_config, found.mr_owner_config),
    ]
    for name, asks, has in pairs:
        if asks is not None:
            yield _field(name, ok=asks == has, asks=asks.hex(), has=has.hex())
    if reference.mr_seam:
        known = " or ".join(one.hex() for one in reference.mr_seam)
        yield _field("MRSEAM", ok=found.mr_seam in reference.mr_seam, asks=known, has=found.mr_seam.hex())
    if reference.td_attributes is not None:
        mask = reference.td_attributes_mask
        yield _masked("TD attributes", reference.td_attributes, found.td_attributes, mask)
    if reference.xfam is not None:
        yield _masked("XFAM", reference.xfam, found.xfam, reference.xfam_mask)
    migratable = bool(report.flags(found.td_attributes) & report.TD_MIGRATABLE)
    ok = reference.migratable or not migratable
    yield _field("Migratable", ok=ok, asks=_yes(reference.migratable), has=_yes(migratable))
    service, asked = found.mr_service_td or bytes(48), reference.mr_service_td or bytes(48)
    yield _field("Service TD", ok=service == asked, asks=_or_none(asked), has=_or_none(service))


def _masked(name: str, asks: bytes, has: bytes, mask: bytes) -> tuple[Check, str]:
    ok = _under(asks, mask) == _under(has, mask)
    shown = asks.hex() if mask == b"\xff" * 8 else f"{asks.hex()} under {mask.hex()}"
    return _field(name, ok=ok, asks=shown, has=has.hex())


def _under(value: bytes, mask: bytes) -> int:
    return report.flags(value) & report.flags(mask)


def _or_none(value: bytes) -> str:
    return value.hex() if any(value) else "none"


def _identity(name: str, asks: str, has: bytes) -> tuple[Check, str]:
    return _field(name, ok=asks.lower() == has.hex(), asks=asks.lower(), has=has.hex())


def _field(name: str, *, ok: bool, asks: str, has: str) -> tuple[Check, str]:
    return Check(
        name=name, ok=ok, expected=asks, found=has
    ), f"{name}: package asks for {asks}, the enclave has {has}"


def _yes(flag: bool) -> str:  # noqa: FBT001
    return "true" if flag else "false"
