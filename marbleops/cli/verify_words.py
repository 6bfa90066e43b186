"""What ``verify`` tells: the verdict, what changed since the last look, what may run, who may change it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from marbleops.approval.decision import counted_to_json
from marbleops.approval.policy import Policy, read_policy
from marbleops.approval.powers import Power, powers
from marbleops.approval.satisfiability import satisfiability_words
from marbleops.cli.output import BAD, GOOD, NOTE, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.approval.record import PublicRecord
    from marbleops.cli.output import Printer
    from marbleops.wire.verify import VerifiedDeployment

NOT_PROVEN = (
    "that it still holds now: the nonce is the saved one, and the time is the word of whoever saved the file",
    "that the history did not go on, or that the Coordinator at any address is this one",
)
"""What saved evidence cannot show, however good it is."""

_MAX_CHANGES = 20
_MAX_POWERS = 30


def document(found: VerifiedDeployment, *, build_checked: bool, offline: bool) -> dict[str, Any]:
    """Return the answer as JSON; the keys are stable."""
    source, policy = found.source, _policy(found)
    return {
        "verdict": "verified" if found.pinned else "not-pinned",
        "asOf": found.bundle.taken_text,
        "offline": offline,
        "notProven": list(NOT_PROVEN) if offline else [],
        "deployment": str(found.deployment),
        "root": found.root,
        "lineage": found.lineage,
        "version": found.version,
        "digest": str(found.digest),
        "pinned": found.pinned,
        "trustDomain": found.attested.verdict.trust_domain,
        "buildChecked": build_checked,
        "position": len(found.records) - 1,
        "head": str(found.head),
        "class": found.records[-1].change_class,
        "weakens": list(found.weakens),
        "approvals": [counted_to_json(counted) for counted in found.approvals],
        "source": {"url": source.url, "revision": source.revision} if source is not None else None,
        "since": _since(found),
        "mayChange": list(satisfiability_words(policy)),
        "powers": [
            {"topic": power.topic.name.lower(), "words": power.words, "weak": power.weak}
            for power in _powers(found, policy)
        ],
        "checks": [
            {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
            for check in found.checks
        ],
    }


def show(out: Printer, found: VerifiedDeployment, *, build_checked: bool, offline: bool) -> None:
    """Print the answer for a person."""
    if out.as_json:
        return
    if offline:
        out.line(f"SAVED EVIDENCE, judged as of {found.bundle.taken_text}", style="bold yellow")
    _show_identity(out, found, build_checked=build_checked)
    _show_changes(out, found)
    _show_powers(out, _powers(found, _policy(found)))
    if offline:
        out.line(f"not proven: {'; '.join(NOT_PROVEN)}", style="yellow")
    if not found.pinned:
        out.line(
            "NOT PINNED: nobody said which deployment to expect, so this may be anybody's.", style="bold red"
        )
        out.line(f"  next: ask its owner for the id, then add --deployment {found.deployment}", style="cyan")


def _show_identity(out: Printer, found: VerifiedDeployment, *, build_checked: bool) -> None:
    verdict = found.attested.verdict
    domain = "SIMULATED quote, no hardware" if verdict.trust_domain != "intel" else "genuine SGX"
    out.mark(GOOD, f"{domain}, TCB {verdict.status or 'unknown'}")
    if verdict.report is not None and verdict.report.debug:
        out.mark(BAD, "the Coordinator runs as a DEBUG enclave: its host can read everything")
    if build_checked:
        out.mark(GOOD, "the Coordinator is the build that the era file names")
    else:
        out.mark(NOTE, "which build of the Coordinator it is was not checked (--era)")
    out.mark(GOOD, f"root certificate {found.root}")
    out.mark(GOOD, f"history of {len(found.records)} transitions, unbroken, signed by the root")
    out.mark(GOOD if found.pinned else NOTE, f"deployment {found.deployment}")
    out.mark(GOOD, f"enforces version {found.version} of {visible(found.lineage)}, manifest {found.digest}")
    for counted in found.approvals:
        out.mark(GOOD, f"approved by {visible(counted.user)} ({counted.kind}, {counted.fingerprint})")
    for words in found.weakens:
        out.mark(NOTE, f"this version weakened: {visible(words)}")
    if found.source is not None:
        source = f"{visible(found.source.url)} {visible(found.source.revision)}"
        out.mark(NOTE, f"from {source} (the reconciler's claim)")


def _show_changes(out: Printer, found: VerifiedDeployment) -> None:
    if found.seen is None:
        return
    if found.behind:
        out.mark(NOTE, f"older than your last look, which was at record {found.seen.position}: not compared")
        return
    fresh = found.records[found.seen.position + 1 :]
    if not fresh:
        out.mark(GOOD, "nothing changed since your last look")
        return
    out.line(f"since your last look, at record {found.seen.position}:", style="bold")
    for record in fresh[-_MAX_CHANGES:]:
        out.line(f"  {visible(change_words(record))}")
        for words in record.weakens:
            out.line(f"    weakened: {visible(words)}", style="yellow")
    if len(fresh) > _MAX_CHANGES:
        out.line(f"  and {len(fresh) - _MAX_CHANGES} earlier changes (-o json lists them)")


def change_words(record: PublicRecord) -> str:
    """Say of one transition what it was and who made it."""
    if record.kind == "secrets-set" and record.assertion is not None:
        names = ", ".join(record.assertion.secrets)
        return f"record {record.position}: {record.assertion.user} wrote the secrets {names}"
    people = ", ".join(sorted({counted.user for counted in record.approvals})) or "nobody"
    what = f"version {record.version}, a change of class {record.change_class}"
    return f"record {record.position}: {what}, approved by {people}"


def _show_powers(out: Printer, all_of_them: Sequence[Power]) -> None:
    for topic, group in groupby(all_of_them, key=lambda power: power.topic):
        rows = list(group)
        out.line(f"{topic.value}:", style="bold")
        shown = _most_telling(rows)
        for power in shown:
            if power.weak:
                out.line(f"  WEAK: {visible(power.words)}", style="bold yellow")
            else:
                out.line(f"  {visible(power.words)}")
        if len(shown) < len(rows):
            out.line(f"  and {len(rows) - len(shown)} more (-o json lists them)")


def _most_telling(rows: list[Power]) -> list[Power]:
    """Leave out what is too much for a screen, but nothing that is weak."""
    room = _MAX_POWERS - sum(power.weak for power in rows)
    ordinary = [power for power in rows if not power.weak][: max(room, 0)]
    return [power for power in rows if power.weak or power in ordinary]


def _since(found: VerifiedDeployment) -> dict[str, Any] | None:
    if found.seen is None:
        return None
    return {
        "position": found.seen.position,
        "head": str(found.seen.head),
        "compared": not found.behind,
        "changes": [_change(record) for record in found.records[found.seen.position + 1 :]],
    }


def _change(record: PublicRecord) -> dict[str, Any]:
    asserted = record.assertion
    return {
        "position": record.position,
        "kind": record.kind,
        "version": record.version,
        "class": record.change_class,
        "weakens": list(record.weakens),
        "approvals": [counted_to_json(counted) for counted in record.approvals],
        "user": None if asserted is None else asserted.user,
        "secrets": [] if asserted is None else list(asserted.secrets),
    }


def _policy(found: VerifiedDeployment) -> Policy:
    return read_policy(found.manifest, revoked=frozenset(found.records[-1].revoked))


def _powers(found: VerifiedDeployment, policy: Policy) -> tuple[Power, ...]:
    return powers(policy, found.records[-1].floors)
