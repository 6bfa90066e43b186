"""The page of ``attest explain`` on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from marbleops.attestation.explain.ladder import END_OF_SERVICE, to_the_top
from marbleops.cli.attest.verify import show as show_verdict
from marbleops.cli.output import BAD, GOOD, NOTE, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from marbleops.attestation.explain.dates import Dated
    from marbleops.attestation.explain.explanation import Explanation
    from marbleops.attestation.explain.ladder import Rung
    from marbleops.attestation.explain.nearest import Nearest
    from marbleops.cli.output import Printer


def show(out: Printer, page: Explanation) -> None:
    """Print the page; nothing in JSON mode."""
    if out.as_json:
        return
    out.line(f"evidence  {page.form}", style="bold")
    for row in page.rows:
        out.line(f"  {row.label:<28} {visible(row.value)}")
    if page.unreadable:
        out.mark(BAD, f"it cannot be decoded: {visible(page.unreadable)}")
    _show_dated(out, "certificates", page.certificates, page.at)
    _show_dated(out, "collateral", page.documents, page.at)
    if page.verdict is not None and page.verdict.checks:
        out.line("checks", style="bold")
        for check in page.verdict.checks:
            if check.ok:
                out.mark(GOOD, f"{check.name}: {visible(check.found)}")
            else:
                out.mark(
                    BAD, f"{check.name}: expected {visible(check.expected)}, found {visible(check.found)}"
                )
    for ladder in page.ladders:
        _show_ladder(out, ladder)
    if page.nearest is not None:
        _show_nearest(out, page.nearest)
    out.line("verdict", style="bold")
    if page.verdict is None:
        out.mark(NOTE, "nothing was verified: this proves nothing. Add --collateral FILE, or --certs DIR")
    else:
        show_verdict(out, page.verdict)


def _show_dated(out: Printer, title: str, listed: Sequence[Dated], at: datetime) -> None:
    if not listed:
        return
    out.line(title, style="bold")
    for one in listed:
        ends = "no end" if one.ends is None else f"{one.ends:%Y-%m-%d %H:%M}"
        life = f"{one.begins:%Y-%m-%d %H:%M} to {ends}"
        out.mark(GOOD if one.current(at) else BAD, f"{visible(one.name)}: {life} ({visible(one.note)})")


def _show_ladder(out: Printer, ladder: Sequence[Rung]) -> None:
    out.line(f"levels of the {ladder[0].of}", style="bold")
    here = next((index for index, rung in enumerate(ladder) if rung.stands_here), len(ladder) - 1)
    for rung in ladder[: here + 1]:
        advisories = f"  {', '.join(map(visible, rung.advisories))}" if rung.advisories else ""
        kind = GOOD if rung.stands_here else BAD if rung.gaps else NOTE
        stands = "  <- it stands here" if rung.stands_here else ""
        out.mark(kind, f"{visible(rung.date)} {visible(rung.status)}{stands}{advisories}")
    if older := len(ladder) - here - 1:
        out.mark(NOTE, f"{older} lower")
    gaps = to_the_top(ladder)
    if gaps:
        out.line("  to the best level:")
    for gap in gaps:
        out.line(f"    {visible(str(gap))}", style="yellow")
    if any(word in rung.advisories for rung in ladder if rung.stands_here for word in END_OF_SERVICE):
        out.mark(NOTE, "Intel has ended the servicing of this platform: it will never be up to date again")


def _show_nearest(out: Printer, closest: Nearest) -> None:
    out.line(f"closest package: {visible(closest.package)}", style="bold")
    if closest.admitted:
        out.mark(GOOD, "it admits this enclave")
        return
    for check in closest.differs:
        out.mark(
            BAD, f"{check.name}: package asks for {visible(check.expected)}, found {visible(check.found)}"
        )
    if closest.impossible:
        out.mark(NOTE, closest.impossible)
        return
    out.line("  the smallest change of the manifest that would admit it (JSON Patch):")
    for edit in closest.edits:
        out.line(f"    {visible(json.dumps(edit.to_json(), ensure_ascii=False))}")
        if edit.weakens:
            out.line(f"    WEAKENS: {visible(edit.weakens)}", style="bold red")
