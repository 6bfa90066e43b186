"""Lay out previews and decisions for people; JSON comes from the values themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from marbleops.approval.decision import Outcome
from marbleops.approval.reasons import Reason
from marbleops.cli.output import BAD, GOOD, NOTE, visible
from marbleops.cli.preview import hopeless
from marbleops.manifest.diff import EditKind
from marbleops.manifest.position import format_path

if TYPE_CHECKING:
    from marbleops.approval.decision import Decision
    from marbleops.cli.output import Printer
    from marbleops.cli.preview import Preview
    from marbleops.manifest.diff import Edit

MAX_VALUE = 200
_OF_OTHERS = frozenset({Reason.TRAILER_WRONG_DIGEST, Reason.DUPLICATE_USER})
"""Why most of a clone's history does not count: other bytes, or somebody who needs it no more."""
_SIGNS = {EditKind.ADD: ("+", "green"), EditKind.REMOVE: ("-", "red"), EditKind.CHANGE: ("~", "yellow")}


def show_preview(out: Printer, preview: Preview) -> None:
    """Print the whole page: base, edits, class, what it weakens, consequences, who must approve."""
    decision, plan, base = preview.decision, preview.plan, preview.basis.manifest
    section = preview.manifest.gitops
    version = section.version if section is not None else "?"
    out.line(f"manifest  {preview.manifest.digest}  version {version}", style="bold")
    if base is None:
        out.line("replaces  nothing: it is the first manifest of a deployment")
    else:
        out.line(f"replaces  {base.digest}  version {base.gitops.version if base.gitops else '?'}")
    if preview.basis.checked:
        out.mark(GOOD, "the base was read from an attested Coordinator just now")
    else:
        out.line("!! NOT CHECKED against a Coordinator: the base comes from this clone", style="bold yellow")
    for assumption in preview.basis.assumptions:
        out.mark(NOTE, f"assumed: {assumption}")
    out.line()
    for edit in plan.edits if base is not None else ():
        show_edit(out, edit)
    out.line(f"class     {decision.change_class or 'not classified'}", style="bold")
    for weakens in decision.weakens:
        out.line(f"WEAKENS   {visible(weakens)}", style="bold red")
    for words in plan.rotates:
        out.line(f"rotates   {visible(words)}")
    for marble in plan.restarts:
        out.line(f"restart   {visible(marble)}: it gets its new parameters then")
    for marble in plan.refused_at_restart:
        out.line(f"restart   {visible(marble)}: builds that its package no longer allows are refused then")
    out.line()
    show_decision(out, decision, predicted=True)


def show_edit(out: Printer, edit: Edit) -> None:
    """Print one edit of the semantic diff."""
    sign, style = _SIGNS[edit.kind]
    path = visible(format_path(edit.path))
    if edit.kind is EditKind.CHANGE:
        out.line(f"{sign} {path}: {_value(edit.old)} -> {_value(edit.new)}", style=style)
    else:
        out.line(f"{sign} {path}: {_value(edit.new if edit.kind is EditKind.ADD else edit.old)}", style=style)


def show_decision(out: Printer, decision: Decision, *, predicted: bool = False) -> None:
    """Print pieces, requirements, refusals and the summary of a decision.

    A *predicted* refusal that only waits for people is called waiting, and told by its requirements alone.
    """
    waiting = predicted and bool(decision.refusals) and not hopeless(decision)
    for piece in decision.pieces:
        if piece.counted:
            use = "key proof" if piece.use == "key-proof" else "approved"
            out.mark(GOOD, f"{use} by {visible(piece.user or '?')} ({piece.kind}, {piece.fingerprint})")
        elif not (predicted and piece.reason in _OF_OTHERS):
            out.mark(BAD, f"{piece.kind} not counted: {piece.reason}: {visible(piece.message)}")
    if predicted:
        others = sum(piece.reason in _OF_OTHERS for piece in decision.pieces)
        if others:
            out.mark(NOTE, f"{others} more statements: about other versions or drafts, or counted already")
    for row in decision.requirements:
        missing = f"; missing: {', '.join(visible(name) for name in row.missing)}" if row.missing else ""
        kind = GOOD if row.have >= row.needed else NOTE
        out.mark(kind, f"{visible(row.words)}: {row.have} of {row.needed}{missing}")
    for refusal in () if waiting else decision.refusals:
        place = f"line {refusal.line}, column {refusal.column}: " if refusal.line is not None else ""
        path = f"{visible(refusal.path)}: " if refusal.path else ""
        out.mark(BAD, f"{refusal.reason}: {place}{path}{visible(refusal.message)}")
    summary = f": {visible(decision.summary)}" if decision.summary else ""
    if waiting:
        out.line("waiting for approvals", style="bold yellow")
    else:
        style = "bold red" if decision.outcome is Outcome.REFUSED else "bold green"
        out.line(f"{decision.outcome}{summary}", style=style)


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return visible(text, limit=MAX_VALUE)
