"""Documents when they are needed: from the cache, else from the first source that has them.

There are no threads here. A service calls ``step`` as often as it likes, at the latest when the last call
said; a command calls ``get``. Where several want the same document, one fetches it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from marbleops.collateral import limits
from marbleops.collateral.authentic import check_authentic, known_roots
from marbleops.collateral.cache import Entry, Failure, OlderDocumentError, check_not_older
from marbleops.collateral.documents import DocumentError, Kind
from marbleops.collateral.sources import SourceError, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.collateral.cache import CollateralCache
    from marbleops.collateral.documents import Document, Key
    from marbleops.collateral.sources import Source
    from marbleops.collateral.transport import Transport


class Effort(Enum):
    """When to ask the sources although a document is held."""

    IF_EXPIRED = auto()
    IF_DUE = auto()  # half of its life is over
    ALWAYS = auto()  # also where a failure said to wait


class CollateralUnavailableError(Exception):
    """A document is neither held nor to be had; the text lists every source that was asked, and why not."""

    def __init__(self, key: Key, failure: Failure, *, asked: bool) -> None:
        causes = "\n".join(f"{number}. {cause}" for number, cause in enumerate(failure.causes, 1))
        when = "" if asked else f" at {_time(failure.at)}, not asked again before {_time(failure.retry_at)}"
        super().__init__(f"{key}: no source had it{when}\n{causes}")
        self.key = key
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A document that may be used; ``stale`` says why there is no newer one although one was asked for."""

    entry: Entry
    stale: CollateralUnavailableError | None = None

    @property
    def document(self) -> Document:
        """Return the document."""
        return self.entry.document


class CollateralProvider:
    """The cache with its sources. Safe to share between threads.

    With ``anchors``, what a source serves must be signed under them to be kept. ``grace`` is how long after
    its end a document is still handed out where no newer one is to be had; the verifier has its own word.
    """

    def __init__(
        self,
        cache: CollateralCache,
        sources: Sequence[Source],
        transport: Transport,
        *,
        anchors: Anchors | None = None,
        grace: timedelta = timedelta(0),
    ) -> None:
        if len(sources) > limits.MAX_SOURCES:
            raise ValueError(f"at most {limits.MAX_SOURCES} sources, not {len(sources)}")
        self.cache = cache
        self._sources = tuple(sources)
        self._transport = transport
        self._anchors = anchors
        self._grace = grace
        self._busy_until: dict[str, datetime] = {}  # sources that asked for patience
        self._authentic: set[bytes] = set()  # hashes of documents that were checked

    def get(self, key: Key, at: datetime, effort: Effort = Effort.IF_EXPIRED) -> Held:
        """Return the document; raises ``CollateralUnavailableError`` and ``CacheError``."""
        if (entry := self._enough(key, at, effort)) is not None:
            return Held(entry=entry)
        with self.cache.flight(key):
            # Whoever held the flight before may have fetched it.
            if (entry := self._enough(key, at, effort)) is not None:
                return Held(entry=entry)
            held = self._held(key)
            try:
                return Held(entry=self._fetch(key, held, at, again=effort is Effort.ALWAYS))
            except CollateralUnavailableError as error:
                if held is not None and held.usable(at, self._grace):
                    return Held(entry=held, stale=error)
                raise

    def step(self, at: datetime, keys: Iterable[Key] | None = None) -> datetime:
        """Refresh what is due among ``keys``, by default everything held; say when to call again.

        A failure is kept in the cache for ``status`` and raises nothing; ``CacheError`` does.
        """
        if keys is None:
            keys = [entry.document.key for entry in self.cache.entries()[0]]
        again = at + limits.MIN_REFRESH
        for key in keys:
            try:
                held = self.get(key, at, Effort.IF_DUE)
            except CollateralUnavailableError as error:
                again = min(again, error.failure.retry_at)
                continue
            again = min(again, held.stale.failure.retry_at if held.stale else held.entry.due_at)
        return max(again, at + timedelta(seconds=1))

    def _enough(self, key: Key, at: datetime, effort: Effort) -> Entry | None:
        """Return the held document where it is good enough not to ask for another."""
        entry = self._held(key)
        if entry is None or effort is Effort.ALWAYS or not entry.usable(at):
            return None
        return entry if effort is Effort.IF_EXPIRED or at < entry.due_at else None

    def _held(self, key: Key) -> Entry | None:
        entry = self.cache.load(key)
        if entry is None:
            return None
        try:
            self._check_authentic(entry.document)
        except DocumentError:
            return None  # another trust domain's, or not what was stored: as good as nothing
        return entry

    def _check_authentic(self, document: Document) -> None:
        if self._anchors is None:
            return
        content = hashlib.sha256(document.body).digest() + document.issuer_chain.encode()
        digest = hashlib.sha256(document.key.name.encode() + b"\0" + content).digest()
        if digest in self._authentic:
            return
        of_root = document.key.kind is Kind.ROOT_CRL
        chains = [entry.document.issuer_chain for entry in self.cache.entries()[0]] if of_root else ()
        roots = known_roots(chains, self._anchors)
        check_authentic(document, self._anchors, roots)
        if roots or not of_root:
            if len(self._authentic) >= limits.MAX_CACHE_ENTRIES:
                self._authentic.clear()
            self._authentic.add(digest)

    def _fetch(self, key: Key, held: Entry | None, at: datetime, *, again: bool) -> Entry:
        sources = tuple(source for source in self._sources if source.serves(key))
        names = tuple(str(source) for source in sources)
        last = self.cache.failure(key)
        if not again and last is not None and last.at <= at < last.retry_at and last.sources == names:
            raise CollateralUnavailableError(key, last, asked=False)
        errors: list[SourceError] = []
        for source in sources:
            try:
                document = self._ask(source, key, held, at)
            except SourceError as error:
                errors.append(error)
                continue
            entry = Entry(document=document, source=str(source), fetched_at=at)
            self.cache.store(entry)
            return entry
        causes = tuple(str(error) for error in errors) or ("no source that serves it is configured",)
        wait = min((error.retry_after for error in errors), default=limits.RETRY_AFTER_ERROR)
        failure = Failure(at=at, retry_at=at + wait, sources=names, causes=causes)
        self.cache.note_failure(key, failure)
        raise CollateralUnavailableError(key, failure, asked=True)

    def _ask(self, source: Source, key: Key, held: Entry | None, at: datetime) -> Document:
        url = source.url(key)
        until = self._busy_until.get(source.base)
        if until is not None and at < until:
            cause = f"not asked: it wanted patience until {_time(until)}"
            raise SourceError(url, cause, retry_after=until - at)
        try:
            document = fetch(source, key, self._transport, at=at)
            self._check_authentic(document)
            if held is not None:
                check_not_older(document, held.document)
        except SourceError as error:
            if error.busy:
                self._busy_until[source.base] = at + error.retry_after
            raise
        except (DocumentError, OlderDocumentError) as error:
            raise SourceError(url, str(error), status=200) from error
        if document.expires < at:
            cause = f"serves what expired {_time(document.expires)} (this machine's clock: {_time(at)})"
            raise SourceError(url, cause, status=200)
        return document


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
