"""``attest verify``: evidence in, a verdict out, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.explain.fields import fields_of
from marbleops.attestation.explain.statuses import MEANINGS, link_of
from marbleops.attestation.verdict import TcbStatus
from marbleops.cli.attest import inputs
from marbleops.cli.errors import UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.attestation.verdict import Verdict
    from marbleops.cli.output import Printer


def verify(file: Path, given: inputs.Given) -> int:
    """Print the verdict on the evidence in *file*.

    Raises:
        UsageProblem: a file or an option cannot be used.
    """
    if not given.any_endorsements():
        raise UsageProblem(
            "nothing to verify with",
            next_step="add --collateral FILE (marbleops collateral fetch), or --certs DIR for SEV-SNP",
        )
    at, found, anchors = given.time(), inputs.read_evidence(file), inputs.read_anchors(given)
    endorsements: Any
    try:
        endorsements = inputs.read_endorsements(given)
    except CollateralError as error:
        endorsements = error
    verdict = inputs.verdict_on(given, found, endorsements, anchors, at=at)
    out = printer()
    out.document(document(verdict))
    show(out, verdict)
    return Exit.OK if verdict.accepted else Exit.UNTRUSTED


def document(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict for programs; the first six members are a fixed interface."""
    return {
        "verdict": "ok" if verdict.accepted else "rejected",
        "code": verdict.code.value,
        "status": None if verdict.status is None else verdict.status.value,
        "advisories": list(verdict.advisories),
        "debug": None if verdict.report is None else verdict.report.debug,
        "fields": fields_of(verdict.report, verdict.platform),
        "detail": verdict.detail,
        "warnings": [f"not checked: {left_open}" for left_open in verdict.not_checked],
        "tee": None if verdict.report is None else verdict.report.tee.value,
        "trustDomain": verdict.trust_domain,
        "checks": [
            {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
            for check in verdict.checks
        ],
    }


def show(out: Printer, verdict: Verdict) -> None:
    """Print the verdict in two or three lines, and what to do about a refusal."""
    if out.as_json:
        return
    if verdict.accepted:
        status = f", TCB status {verdict.status}" if verdict.status else ""
        advisories = f" ({', '.join(map(visible, verdict.advisories))})" if verdict.advisories else ""
        out.mark(GOOD, f"verifies under the root of {verdict.trust_domain}{status}{advisories}")
        if verdict.status is not None and verdict.status is not TcbStatus.UP_TO_DATE:
            out.mark(NOTE, f"{verdict.status}: {MEANINGS[verdict.status]}")
        for link in filter(None, map(link_of, verdict.advisories)):
            out.line(f"  {link}")
        for left_open in verdict.not_checked:
            out.mark(NOTE, f"NOT CHECKED: {left_open}")
        out.mark(NOTE, "whether it is the wanted one is another question: attest explain --manifest FILE")
        return
    from marbleops.attestation.explain.codes import CODES

    about = CODES[verdict.code]
    out.mark(BAD, f"{verdict.code}: {visible(verdict.detail)}")
    out.line(f"  {about.meaning}")
    out.line(f"  to do: {about.to_do}", style="cyan")
