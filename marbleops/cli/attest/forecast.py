"""``attest forecast``: does what passes today pass the next TCB set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marbleops.attestation import limits
from marbleops.attestation.appraisal import DEFAULT_TCB_STATUSES
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.explain.dates import documents_of
from marbleops.attestation.explain.explanation import explain
from marbleops.attestation.explain.forecast import Forecast, look_ahead
from marbleops.attestation.verdict import TcbStatus
from marbleops.cli.attest import inputs
from marbleops.cli.errors import UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.files import read_bytes
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from marbleops.attestation.verdict import Verdict
    from marbleops.cli.output import Printer


def forecast(file: Path, given: inputs.Given, *, following: Path, accept: tuple[str, ...]) -> int:
    """Hold the evidence in *file* against today's collateral and the next.

    Raises:
        UsageProblem: a file or an option cannot be used.
    """
    if given.certs is not None or given.collateral is None:
        raise UsageProblem(
            "a forecast needs Intel's collateral of today: AMD publishes no TCB sets",
            next_step="add --collateral FILE",
        )
    accepted = _statuses(accept)
    at, found, anchors = given.time(), inputs.read_evidence(file), inputs.read_anchors(given)
    today = _collateral(given.collateral)
    newer = _next(following, today)
    verdict = inputs.verdict_on(given, found, today, anchors, at=at)
    later = _no_earlier(newer, verdict, at)
    # A new TCB info among documents of today: their expiry is not what is asked about.
    patient = replace(given, grace=limits.MAX_GRACE)
    then = inputs.verdict_on(patient, found, newer, anchors, at=later)
    page = explain(found.evidence, newer, then, form=found.form, at=later)
    answer = look_ahead(verdict, then, page.ladders, accepted=accepted)
    out = printer()
    out.document(_document(answer, later))
    _show(out, answer)
    if not answer.passes_today:
        return Exit.UNTRUSTED
    return Exit.OK if answer.passes_next else Exit.REFUSED


def _statuses(accept: tuple[str, ...]) -> tuple[str, ...]:
    for word in accept:
        if word not in set(TcbStatus) - {TcbStatus.REVOKED}:
            raise UsageProblem("not a TCB status that can be accepted", where=f"--accept {word[:60]}")
    return accept or DEFAULT_TCB_STATUSES


def _collateral(file: Path) -> Collateral:
    try:
        return Collateral.from_json(read_bytes(file, limit=limits.MAX_COLLATERAL_BYTES))
    except CollateralError as error:
        raise UsageProblem(f"no collateral: {error}", where=str(file)) from error


def _next(file: Path, today: Collateral) -> Collateral:
    """Read newer collateral, or put the TCB info of a newer set into today's."""
    raw = read_bytes(file, limit=limits.MAX_COLLATERAL_BYTES)
    if b'"tcb_info"' in raw:
        return _collateral(file)
    from marbleops.collateral.documents import DocumentError, slice_signed

    try:
        text, signature = slice_signed(raw, "tcbInfo")
    except DocumentError as error:
        raise UsageProblem(
            f"neither collateral nor a signed TCB info: {error}",
            where=str(file),
            next_step="marbleops collateral fetch, or the answer of /sgx/certification/v4/tcb?update=early",
        ) from error
    return replace(today, tcb_info=text, tcb_info_signature=signature)


def _no_earlier(newer: Collateral, verdict: Verdict, at: datetime) -> datetime:
    # What is published later is judged when it was: a forecast of last year's quote is possible, too.
    if verdict.report is None:
        return at
    return max([at, *(one.begins for one in documents_of(newer, verdict.report.tee))])


def _document(answer: Forecast, later: datetime) -> dict[str, Any]:
    return {
        "passesToday": answer.passes_today,
        "passesNext": answer.passes_next,
        "today": _verdict(answer.today),
        "next": _verdict(answer.following) | {"at": later.isoformat()},
        "newAdvisories": list(answer.advisories),
        "parts": [
            {
                "of": part.of,
                "status": part.status,
                "gaps": [str(gap) for gap in part.gaps],
                "advisories": list(part.advisories),
            }
            for part in answer.parts
        ],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "code": verdict.code.value,
        "status": None if verdict.status is None else verdict.status.value,
        "advisories": list(verdict.advisories),
        "evaluationNumber": _number(verdict),
        "detail": verdict.detail,
    }


def _number(verdict: Verdict) -> int | None:
    return None if verdict.platform is None else verdict.platform.tcb_evaluation_number


def _show(out: Printer, answer: Forecast) -> None:
    if out.as_json:
        return
    for name, verdict, passes in (
        ("today", answer.today, answer.passes_today),
        ("next set", answer.following, answer.passes_next),
    ):
        number = _number(verdict)
        words = str(verdict.status) if verdict.accepted else f"{verdict.code}: {visible(verdict.detail)}"
        out.mark(
            GOOD if passes else BAD, f"{name} (number {'unknown' if number is None else number}): {words}"
        )
    for part in answer.parts:
        advisories = f" for {', '.join(map(visible, part.advisories))}" if part.advisories else ""
        out.line(f"  {part.of} will be {visible(part.status)}{advisories}")
        for gap in part.gaps:
            out.line(f"    {visible(str(gap))}", style="yellow")
        if not part.gaps:
            out.line("    no update leads to a level that passes")
    if answer.advisories:
        out.mark(NOTE, f"advisories that the next set adds: {', '.join(map(visible, answer.advisories))}")
    if answer.passes_today and not answer.passes_next:
        out.line(
            "  to do: update before the next set becomes the standard, or accept its status in the manifest",
            style="cyan",
        )
