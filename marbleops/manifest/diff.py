"""What differs between two manifests, value by value.

Compares the parsed documents; only the order of members and white space are insignificant (approvals.md
section 3). MarbleRun's own equality plays no part: it misses certificate templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MISSING: Final = object()


class EditKind(StrEnum):
    """What happened to a value."""

    ADD = "add"
    REMOVE = "remove"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One difference. ``old`` is ``None`` for an addition, ``new`` for a removal."""

    path: tuple[str | int, ...]
    kind: EditKind
    old: Any
    new: Any


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Edit, ...]:
    """List the edits that lead from *old* to *new*, ordered by path.

    A new or dropped object or list is one edit at its root; lists are compared index by index. ``$schema`` at
    top level means nothing and is left out.
    """
    return tuple(_mappings(_significant(old), _significant(new), ()))


def _significant(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in document.items() if name != "$schema"}


def _values(old: Any, new: Any, path: tuple[str | int, ...]) -> Iterator[Edit]:
    if old is _MISSING:
        yield Edit(path=path, kind=EditKind.ADD, old=None, new=new)
    elif new is _MISSING:
        yield Edit(path=path, kind=EditKind.REMOVE, old=old, new=None)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _values(_item(old, index), _item(new, index), (*path, index))
    elif type(old) is not type(new) or old != new:
        # The type counts: Python takes True for 1 and 1.0 for 1.
        yield Edit(path=path, kind=EditKind.CHANGE, old=old, new=new)


def _mappings(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Edit]:
    for name in sorted({*old, *new}):
        yield from _values(old.get(name, _MISSING), new.get(name, _MISSING), (*path, name))


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _MISSING
