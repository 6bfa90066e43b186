"""The one line that people read first: "1 of 2, missing one of bob, carol"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.approval.decision import Refusal, Requirement

_NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def summarise(rows: tuple[Requirement, ...], refusals: tuple[Refusal, ...], *, voters: frozenset[str]) -> str:
    """Say how far the approvals are, or what stands against the manifest before anybody was counted."""
    unmet = tuple(row for row in rows if row.have < row.needed)
    if unmet:
        return "; ".join(_in_words(unmet, rows[0]))
    if refusals:
        first = refusals[0]
        place = f"{first.path}: " if first.path else ""
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        return f"{first.reason}: {place}{first.message}{more}"
    return f"{rows[0].have} of {rows[0].needed}: {', '.join(sorted(voters))}"


def _in_words(unmet: tuple[Requirement, ...], first: Requirement) -> Iterator[str]:
    for row in unmet:
        lacking = row.needed - row.have
        label = "" if row is first else f"{row.words}: "
        yield f"{label}{row.have} of {row.needed}, missing {_who(lacking, row.missing)}"


def _who(lacking: int, missing: tuple[str, ...]) -> str:
    if not missing:
        return "people who do not exist yet"
    if lacking >= len(missing):
        return " and ".join(missing)
    number = _NUMBERS[lacking] if lacking < len(_NUMBERS) else str(lacking)
    return f"{number} of {', '.join(missing)}"
