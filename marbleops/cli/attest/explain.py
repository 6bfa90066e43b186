"""``attest explain``: one piece of evidence on one page, on the terminal, as JSON, or for a browser."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.explain import explanation
from marbleops.attestation.verdict import Report
from marbleops.cli.attest import inputs, text
from marbleops.cli.attest.verify import document as verdict_document
from marbleops.cli.exits import Exit
from marbleops.cli.output import GOOD, NOTE, printer

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from marbleops.attestation.explain.dates import Dated
    from marbleops.attestation.explain.explanation import Explanation
    from marbleops.attestation.explain.nearest import Nearest
    from marbleops.attestation.verdict import Verdict


_NO_ENCLAVE = "these describe SGX enclaves, and there is no verdict on one"


def explain(file: Path, given: inputs.Given, *, manifest: Path | None, html: Path | None) -> int:
    """Explain the evidence in *file*.

    Raises:
        UsageProblem: a file or an option cannot be used.
    """
    at, found = given.time(), inputs.read_evidence(file)
    endorsements: Any = None
    verdict = closest = None
    if given.any_endorsements():
        anchors = inputs.read_anchors(given)
        try:
            endorsements = inputs.read_endorsements(given)
        except CollateralError as error:
            endorsements = error
        verdict = inputs.verdict_on(given, found, endorsements, anchors, at=at)
        if manifest is not None:
            # As a Coordinator does it: debug is the package's question, not the verifier's.
            lenient = replace(given, allow_debug=True)
            closest = _nearest(inputs.verdict_on(lenient, found, endorsements, anchors, at=at), manifest)
    usable = None if isinstance(endorsements, CollateralError) else endorsements
    page = explanation.explain(
        found.evidence, usable, verdict, form=found.form, at=at, vouched_chain=found.vouched_chain
    )
    page = replace(page, nearest=closest)
    if html is not None:
        from marbleops.cli.attest.page import render

        html.write_text(render(page, title=file.name), encoding="utf-8")
    out = printer()
    out.document(_document(page))
    text.show(out, page)
    if manifest is not None and closest is None:
        why = "it has none" if verdict is not None and isinstance(verdict.report, Report) else _NO_ENCLAVE
        out.mark(NOTE, f"not compared with the packages of the manifest: {why}")
    if html is not None:
        out.mark(GOOD, f"page written to {html}")
    return _exit(verdict, closest)


def _exit(verdict: Verdict | None, closest: Nearest | None) -> int:
    if verdict is not None and not verdict.accepted:
        return Exit.UNTRUSTED
    return Exit.REFUSED if closest is not None and not closest.admitted else Exit.OK


def _nearest(verdict: Verdict, file: Path) -> Nearest | None:
    from marbleops.attestation.explain.nearest import nearest
    from marbleops.cli.attest.packages import read_packages

    return nearest(verdict, read_packages(file))


def _document(page: Explanation) -> dict[str, Any]:
    closest = page.nearest
    return {
        "form": page.form,
        "at": page.at.isoformat(),
        "unreadable": page.unreadable or None,
        "verdict": None if page.verdict is None else verdict_document(page.verdict),
        "rows": {row.label: row.value for row in page.rows},
        "certificates": [_dated(one, page.at) for one in page.certificates],
        "documents": [_dated(one, page.at) for one in page.documents],
        "levels": [
            {
                "of": rung.of,
                "date": rung.date,
                "status": rung.status,
                "advisories": list(rung.advisories),
                "standsHere": rung.stands_here,
                "gaps": [str(gap) for gap in rung.gaps],
            }
            for ladder in page.ladders
            for rung in ladder
        ],
        "nearest": None
        if closest is None
        else {
            "package": closest.package,
            "admitted": closest.admitted,
            "differs": [
                {"name": check.name, "expected": check.expected, "found": check.found}
                for check in closest.differs
            ],
            "patch": [edit.to_json() for edit in closest.edits],
            "weakens": [edit.weakens for edit in closest.edits if edit.weakens],
            "impossible": closest.impossible or None,
        },
    }


def _dated(one: Dated, at: datetime) -> dict[str, Any]:
    return {
        "name": one.name,
        "note": one.note,
        "begins": one.begins.isoformat(),
        "ends": None if one.ends is None else one.ends.isoformat(),
        "current": one.current(at),
    }
