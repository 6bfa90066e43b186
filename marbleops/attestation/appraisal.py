"""Appraisal: whether a verdict describes what the package asks for (marblerun-core 1.2, 10.3, 10.4).

The rules are MarbleRun's, with two refusals of ours (attestation.md 1.3, 2.4): the second half of the report
data must be zero, and a package that is not for debugging must say which enclave it means.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation.verdict import Check, Report, TcbStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_TCB_STATUSES: Final = (TcbStatus.SW_HARDENING_NEEDED.value,)


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
class Appraisal:
    """Whether the enclave is the wanted one, each field that was compared, and the failing ones in words."""

    accepted: bool
    checks: tuple[Check, ...]
    reason: str


def appraise(verdict: Verdict, reference: ReferenceValues, *, report_data: bytes) -> Appraisal:
    """Compare ``verdict`` with ``reference`` field by field; ``report_data`` is the expected first half.

    All fields are compared, so that the reason names every difference at once. Raises ``ValueError`` only
    where ``report_data`` is not 32 bytes, which is a mistake of the caller.
    """
    if len(report_data) != 32:
        raise ValueError(f"expected report data is the 32 bytes of a hash, not {len(report_data)}")
    judged = list(_judge(verdict, reference, report_data))
    failing = [words for check, words in judged if not check.ok]
    return Appraisal(
        accepted=not failing, checks=tuple(check for check, _ in judged), reason="; ".join(failing)
    )


def _judge(verdict: Verdict, reference: ReferenceValues, report_data: bytes) -> Iterator[tuple[Check, str]]:
    # 10.3: evidence, TCB status, advisories, report data, package; in this order.
    yield (
        Check(name="Evidence", ok=verdict.accepted, expected="OK", found=verdict.code.value),
        f"Evidence: {verdict.code}: {verdict.detail}",
    )
    if verdict.report is None:
        return
    yield _tcb_status(verdict, reference)
    yield _advisories(verdict, reference)
    yield from _report_data(verdict.report, report_data)
    yield _pinned(reference)
    yield from _package(verdict.report, reference)


def _tcb_status(verdict: Verdict, reference: ReferenceValues) -> tuple[Check, str]:
    # 10.4: UpToDate needs no listing, an empty list means SWHardeningNeeded, a list replaces that default,
    # words are case-sensitive. Ours: Revoked cannot be listed, and neither can a status this verifier does
    # not know.
    listed = reference.accepted_tcb_statuses or DEFAULT_TCB_STATUSES
    allowed = {TcbStatus.UP_TO_DATE.value, *listed} - {TcbStatus.REVOKED.value}
    ok = verdict.status is not None and verdict.status.value in allowed
    expected = " or ".join(
        dict.fromkeys((TcbStatus.UP_TO_DATE.value, *(word for word in listed if word in allowed)))
    )
    found = "unknown" if verdict.status is None else verdict.status.value
    words = f"TCB status: package accepts {expected}, the platform is {found}"
    if verdict.advisories:
        words += f" ({', '.join(verdict.advisories)})"
    return Check(name="TCB status", ok=ok, expected=expected, found=found), words


def _advisories(verdict: Verdict, reference: ReferenceValues) -> tuple[Check, str]:
    # 10.4: only for SWHardeningNeeded and a non-empty list; every reported one must be in it, in any case.
    accepted = {advisory.casefold() for advisory in reference.accepted_advisories}
    looked_at = verdict.status is TcbStatus.SW_HARDENING_NEEDED and bool(accepted)
    excess = [one for one in verdict.advisories if one.casefold() not in accepted] if looked_at else []
    expected = ", ".join(reference.accepted_advisories) if looked_at else "any"
    found = ", ".join(verdict.advisories) or "none"
    words = f"Advisories: package accepts {expected}, the platform also has {', '.join(excess)}"
    return Check(name="Advisories", ok=not excess, expected=expected, found=found), words


def _report_data(report: Report, expected: bytes) -> Iterator[tuple[Check, str]]:
    head, tail = report.report_data[:32], report.report_data[32:]
    yield (
        Check(
            name="Report data",
            ok=hmac.compare_digest(head, expected),
            expected=expected.hex(),
            found=head.hex(),
        ),
        f"Report data: this connection needs {expected.hex()}, the enclave vouches for {head.hex()}",
    )
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


def _identity(name: str, asks: str, has: bytes) -> tuple[Check, str]:
    return _field(name, ok=asks.lower() == has.hex(), asks=asks.lower(), has=has.hex())


def _field(name: str, *, ok: bool, asks: str, has: str) -> tuple[Check, str]:
    return Check(
        name=name, ok=ok, expected=asks, found=has
    ), f"{name}: package asks for {asks}, the enclave has {has}"


def _yes(flag: bool) -> str:  # noqa: FBT001
    return "true" if flag else "false"
