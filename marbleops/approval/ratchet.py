"""Which class a change is of, and what it weakens (approvals.md section 3).

The enforced policy decides. Every edit is looked up in the table; fields that mean something only together
are compared by effect; an edit that no row knows weakens. Classes add up: a weakening that also touches
policy still asks for the proofs of its new keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from marbleops.approval.decision import ChangeClass
from marbleops.approval.effect import Weakening, compare_marbles
from marbleops.approval.electorate import electorate_edits, new_rights, replaced_user
from marbleops.approval.floors import AttestedVersions, allowed_decreases, identity_of
from marbleops.approval.ratchet_table import ROWS, Effect, Move, Row
from marbleops.manifest.diff import Edit, diff
from marbleops.manifest.position import JsonPath, format_path

if TYPE_CHECKING:
    from marbleops.approval.policy import Policy
    from marbleops.manifest.model import Manifest

_NAMES_ONLY = frozenset({("GitOps", "Version"), ("GitOps", "Previous"), ("GitOps", "Deployment")})
_DECREASES = ("GitOps", "AllowSecurityVersionDecrease")
_MAX_FOUND = 1000
"""Weakenings looked for: one decides the class, and a hostile candidate can bring any number."""
_MAX_WORDS = 100
_MAX_WORDS_CHARS = 500
"""Weakenings told one by one: they stand in the history for ever, and its records are bounded."""
_PATTERNS = tuple((row, tuple(row.path.split("."))) for row in ROWS)

_POLICY_SECTIONS = frozenset({"Users", "Roles", "GitOps", "RecoveryKeys", "Config"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A transition as these rules see it. ``raised`` is filled for a package bump only.

    ``beyond`` names packages whose raise exceeds what was attested and so made the change class full;
    ``replaced`` the user of a replacement.
    """

    change_class: ChangeClass
    weakenings: tuple[Weakening, ...] = ()
    raised: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    replaced: str | None = None


def classify(old: Policy, new: Policy, attested: AttestedVersions) -> Change:
    """Find the class of the transition from the enforced policy *old* to the candidate's *new*."""
    edits = tuple(
        edit for edit in diff(old.manifest.document, new.manifest.document) if _counts(edit, new.manifest)
    )
    # $schema means nothing and is no edit, but a package bump holds nothing that one person slips in.
    alone = old.manifest.document.get("$schema") == new.manifest.document.get("$schema")
    raised = _raised(edits) if alone and not allowed_decreases(new.manifest) else None
    if raised is not None:
        beyond = tuple(name for name in raised if not _is_attested(new.manifest, name, attested))
        if not beyond:
            return Change(change_class=ChangeClass.PACKAGE_BUMP, raised=raised)
        return Change(change_class=ChangeClass.FULL, beyond=beyond)
    weakenings = tuple(islice(weakening(old, new, edits), _MAX_FOUND))
    if weakenings:
        replaced = replaced_user(old, new, edits)
        return Change(change_class=ChangeClass.WEAKENING, weakenings=weakenings, replaced=replaced)
    touches_policy = any(edit.path[0] in _POLICY_SECTIONS for edit in edits)
    return Change(change_class=ChangeClass.POLICY if touches_policy else ChangeClass.FULL)


def weakening(old: Policy, new: Policy, edits: tuple[Edit, ...]) -> Iterator[Weakening]:
    """List what the transition weakens, each thing once, in the order of the comparisons."""
    seen = set()
    for found in _all_weakenings(old, new, edits):
        if found not in seen:
            seen.add(found)
            yield found


def _all_weakenings(old: Policy, new: Policy, edits: tuple[Edit, ...]) -> Iterator[Weakening]:
    judged: set[JsonPath] = set()
    for edit in edits:
        yield from _judge(edit.path, edit.old, edit.new, (old.manifest, new.manifest), judged)
    yield from compare_marbles(old.manifest, new.manifest)
    yield from new_rights(old, new)
    yield from electorate_edits(old, new)
    if new.weaken_quorum < old.weaken_quorum:
        words = f"a weakening needs {new.weaken_quorum} instead of {old.weaken_quorum} approvers"
        yield Weakening(path=("GitOps", "WeakenThreshold"), words=words)
    if _recovery(new.manifest) < _recovery(old.manifest):
        yield Weakening(path=("Config", "RecoveryThreshold"), words="fewer recovery keys open the state")
    for name in sorted(allowed_decreases(new.manifest)):
        yield Weakening(path=_DECREASES, words=f"{name} may fall to an older SecurityVersion")


def row_of(path: tuple[str | int, ...]) -> tuple[Row, tuple[str | int, ...]] | None:
    """Find the row that judges *path*, and the path of the field that the row speaks of."""
    names = tuple(step for step in path if isinstance(step, str))
    field_length = next((i for i, step in enumerate(path) if isinstance(step, int)), len(path))
    for row, pattern in _PATTERNS:
        covers = len(pattern) == field_length or (row.whole and len(pattern) < len(path))
        if covers and len(pattern) <= len(names) and all(map(_fits, names, pattern)):
            return row, path[: len(pattern)]
    return None


def move_of(row: Row, old: Any, new: Any) -> Move | None:
    """Say what happened to a value; ``None`` where only a default was written down or left out."""
    before, after = _meaning(row, old), _meaning(row, new)
    if before == after and type(before) is type(after):
        return None
    if isinstance(before, bool) and isinstance(after, bool):
        return Move.SWITCHED_ON if after else Move.SWITCHED_OFF
    if isinstance(before, int | float) and isinstance(after, int | float):
        return Move.RAISED if after > before else Move.LOWERED
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        return Move.WIDENED if after - before else Move.NARROWED
    if before is None:
        return Move.ADDED
    return Move.REMOVED if after is None else Move.CHANGED


def _judge(
    path: JsonPath, before: Any, after: Any, manifests: tuple[Manifest, Manifest], judged: set[JsonPath]
) -> Iterator[Weakening]:
    """Judge one edit by its row; an object without a row of its own is judged member by member.

    A row looks at its whole field, so a field is judged once, however many edits lie in it.
    """
    found = row_of(path)
    if found is None:
        whole = after if before is None else before
        if isinstance(whole, Mapping) and (before is None or after is None):
            for name in sorted(whole):
                inner = (before or {}).get(name), (after or {}).get(name)
                yield from _judge((*path, name), *inner, manifests, judged)
            return
        yield Weakening(path=path, words="is not classified by these rules")
        return
    row, place = found
    if place in judged:
        return
    judged.add(place)
    old, new = manifests
    move = move_of(row, _at(old.document, place), _at(new.document, place))
    if move is None or (row.by is not None and move not in row.moves):
        return
    if row.moves.get(move, Effect.WEAKENS) is Effect.WEAKENS:
        yield Weakening(path=place, words=f"is {move}")


def _fits(name: str, pattern: str) -> bool:
    return pattern in {"*", name}


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if not isinstance(document, Mapping) or step not in document:
            return None
        document = document[step]
    return document


def _meaning(row: Row, value: Any) -> Any:
    """Make a value comparable: defaults filled in, zero as infinity, words as ranks, lists as sets."""
    if value is None or (value == "" and row.ranks):
        value = row.absent
    if row.zero_is_unlimited and value == 0:
        return float("inf")
    if row.ranks and isinstance(value, str) and value in row.ranks:
        return row.ranks.index(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    return value


def _counts(edit: Edit, new: Manifest) -> bool:
    """Leave out what every transition does, and the lapse of a permission to decrease (*SecurityVersion*)."""
    if edit.path in _NAMES_ONLY:
        return False
    return edit.path[:2] != _DECREASES or bool(allowed_decreases(new))


def _raised(edits: tuple[Edit, ...]) -> tuple[str, ...] | None:
    """Name the packages of a transition that does nothing but raise SecurityVersions; else ``None``."""
    raised = []
    for edit in edits:
        match edit.path:
            case ("Packages", str(name), "SecurityVersion") if (
                isinstance(edit.old, int) and isinstance(edit.new, int) and edit.new > edit.old
            ):
                raised.append(name)
            case _:
                return None
    return tuple(raised) or None


def _is_attested(manifest: Manifest, name: str, attested: AttestedVersions) -> bool:
    package = manifest.packages[name]
    identity = identity_of(package)
    if identity is None or package.security_version is None:
        return False
    return package.security_version <= attested.get((name, *identity), -1)


def _recovery(manifest: Manifest) -> float:
    """Return how many recovery keys open the state; without any key nobody can (approvals.md section 1)."""
    if not manifest.recovery_keys:
        return float("inf")
    return manifest.config.recovery_threshold or len(manifest.recovery_keys)


def weakening_words(weakenings: tuple[Weakening, ...]) -> tuple[str, ...]:
    """Write weakenings for the answer and the history: place and words, bounded."""
    words = tuple(_shortened(f"{format_path(each.path)}: {each.words}") for each in weakenings[:_MAX_WORDS])
    more = len(weakenings) - _MAX_WORDS
    return (*words, f"and {more} more") if more > 0 else words


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_WORDS_CHARS else text[:_MAX_WORDS_CHARS] + "..."
