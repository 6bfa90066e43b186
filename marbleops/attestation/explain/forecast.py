"""Whether a platform that passes today will pass the next TCB set, and what has to be updated before.

Intel publishes a set early and makes it the standard one about a year later, without a warning (2.5). The
next set is verified like today's, no earlier than it was issued; only what it says is compared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marbleops.attestation.verdict import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from marbleops.attestation.explain.ladder import GapRow, Rung
    from marbleops.attestation.verdict import Verdict

_ALWAYS: Final = TcbStatus.UP_TO_DATE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the platform that the next set finds wanting, and the gaps to a level that would pass."""

    of: str
    status: str
    gaps: tuple[GapRow, ...]
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``advisories`` are those that the next set adds; ``parts`` are empty where it is passed."""

    today: Verdict
    following: Verdict
    passes_today: bool
    passes_next: bool
    advisories: tuple[str, ...]
    parts: tuple[Part, ...]


def look_ahead(
    today: Verdict, following: Verdict, ladders: Iterable[Sequence[Rung]], *, accepted: Iterable[str]
) -> Forecast:
    """Compare two verdicts on the same evidence; ``ladders`` are those of the next set."""
    words = frozenset(accepted) | {_ALWAYS}
    passes_next = _passes(following, words)
    found = () if passes_next else (_part(ladder, words) for ladder in ladders)
    return Forecast(
        today=today,
        following=following,
        passes_today=_passes(today, words),
        passes_next=passes_next,
        advisories=tuple(one for one in following.advisories if one not in today.advisories),
        parts=tuple(part for part in found if part is not None),
    )


def _passes(verdict: Verdict, accepted: frozenset[str]) -> bool:
    return verdict.accepted and verdict.status is not None and verdict.status.value in accepted


def _part(ladder: Sequence[Rung], accepted: frozenset[str]) -> Part | None:
    here = next((rung for rung in ladder if rung.stands_here), None)
    if here is not None and here.status in accepted:
        return None
    # The lowest level that passes is the shortest way: levels are listed best first.
    passing = [rung for rung in ladder if rung.status in accepted and rung.gaps]
    return Part(
        of=ladder[0].of,
        status="below every level" if here is None else here.status,
        gaps=passing[-1].gaps if passing else (),
        advisories=() if here is None else here.advisories,
    )
