"""How the cache stands, for people and for metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from marbleops.collateral.cache import CollateralCache, Entry
    from marbleops.collateral.documents import Key

METRIC = "collateral_seconds_to_expiry"
METRIC_HELP = "Seconds until a document of the collateral cache expires; negative after that."
METRIC_LABELS = ("kind", "tee", "name", "update")


class State(StrEnum):
    """Where a document is in its life; ``due`` means that a newer one is looked for."""

    FRESH = "fresh"
    DUE = "due"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryStatus:
    """One document of the cache at one time. Times of life are in whole seconds."""

    key: Key
    state: State
    source: str
    fetched_at: datetime
    age: int
    issued: datetime
    expires: datetime
    seconds_to_expiry: int
    due_at: datetime
    number: int | None
    failures: tuple[str, ...]
    retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """All documents, the next to expire first, and the files that are damaged."""

    entries: tuple[EntryStatus, ...]
    damaged: tuple[str, ...]


def cache_status(cache: CollateralCache, at: datetime) -> CacheStatus:
    """Look at every entry; raises ``CacheError``."""
    entries, damaged = cache.entries()
    found = sorted((_status(cache, entry, at) for entry in entries), key=lambda one: one.expires)
    return CacheStatus(entries=tuple(found), damaged=damaged)


def seconds_to_expiry(cache: CollateralCache, at: datetime) -> Iterator[tuple[tuple[str, ...], float]]:
    """Give the values of the metric with their labels; raises ``CacheError``.

    The ``name`` of a VCEK is a hash: metrics are read by more people than may know a machine's number.
    """
    for entry in cache.entries()[0]:
        key = entry.document.key
        yield (key.kind, key.tee, key.name, key.update), (entry.document.expires - at).total_seconds()


def _status(cache: CollateralCache, entry: Entry, at: datetime) -> EntryStatus:
    document = entry.document
    failure = cache.failure(document.key)
    state = State.EXPIRED if not entry.usable(at) else State.DUE if at >= entry.due_at else State.FRESH
    return EntryStatus(
        key=document.key,
        state=state,
        source=entry.source,
        fetched_at=entry.fetched_at,
        age=int((at - entry.fetched_at).total_seconds()),
        issued=document.issued,
        expires=document.expires,
        seconds_to_expiry=int((document.expires - at).total_seconds()),
        due_at=entry.due_at,
        number=document.number,
        failures=() if failure is None else failure.causes,
        retry_at=None if failure is None else failure.retry_at,
    )
