"""Seats of a quorum, filled by different people: a bipartite matching.

Somebody with two roles can sit on either chair but not on both (approvals.md section 3, ``Quorum`` seated by
different approvers), so counting role by role would let one person be two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def seat(quorum: Mapping[str, int], people: Mapping[str, Collection[str]]) -> dict[str, tuple[str, ...]]:
    """Fill as many seats as can be filled at once; *people* maps a person to the roles they hold.

    The number of filled seats is the largest possible, and the same people and roles always give the same
    seating.
    """
    seated: dict[str, list[str]] = {role: [] for role in sorted(quorum)}
    held = {person: frozenset(roles) & quorum.keys() for person, roles in people.items()}
    closed: set[str] = set()
    for person in sorted(people):
        # Roles that were tried in vain stay full: nobody in them can move to a free seat any more.
        tried = set(closed)
        if not _place(person, quorum, held, seated, tried):
            closed |= tried
    return {role: tuple(sorted(names)) for role, names in seated.items()}


def _place(
    person: str,
    quorum: Mapping[str, int],
    people: Mapping[str, Collection[str]],
    seated: dict[str, list[str]],
    tried: set[str],
) -> bool:
    """Find a seat for *person*, moving others where that frees one (an augmenting path)."""
    open_roles = [role for role in seated if role in people[person] and role not in tried]
    for role in open_roles:
        if len(seated[role]) < quorum[role]:
            seated[role].append(person)
            return True
    for role in open_roles:
        if role in tried:
            continue
        tried.add(role)
        for other in list(seated[role]):
            if _place(other, quorum, people, seated, tried):
                seated[role].remove(other)
                seated[role].append(person)
                return True
    return False
