"""Documents on disk: one small JSON file each, replaced whole, for all processes of one machine.

Nothing in the directory is secret and nothing in it is trusted: whoever can write there can make verification
fail, no more. Whoever stores checks before that no newer document is held (``check_not_older``), in a flight.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from marbleops.collateral import limits
from marbleops.collateral.documents import Document, DocumentError, Key, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1
_ENTRY, _FAILURE, _LOCK = ".json", ".failed", ".lock"


class CacheError(Exception):
    """The directory cannot be used."""


class OlderDocumentError(Exception):
    """What should be stored is older than what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document, where it came from and when."""

    document: Document
    source: str
    fetched_at: datetime

    @property
    def due_at(self) -> datetime:
        """Return when to look for a newer one: half-way to its end; a certificate only at its end."""
        if not self.document.refreshed:
            return self.document.expires
        return self.fetched_at + max((self.document.expires - self.fetched_at) / 2, limits.MIN_REFRESH)

    def usable(self, at: datetime, grace: timedelta = timedelta(0)) -> bool:
        """Say whether it has not expired, or not longer ago than ``grace``."""
        return at - grace <= self.document.expires

    def to_json(self) -> dict[str, Any]:
        """Return the entry for a file."""
        return {
            "key": self.document.key.to_json(),
            "source": self.source,
            "fetchedAt": self.fetched_at.isoformat(),
            "issuerChain": self.document.issuer_chain,
            "body": base64.b64encode(self.document.body).decode(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Entry:
        """Read what ``to_json`` wrote; raises ``DocumentError``."""
        try:
            if set(value) != {"key", "source", "fetchedAt", "issuerChain", "body"}:
                raise DocumentError("an entry has other members")
            source, chain = value["source"], value["issuerChain"]
            fetched_at = datetime.fromisoformat(value["fetchedAt"])
            body = base64.b64decode(value["body"], validate=True)
        except (ValueError, TypeError) as error:
            raise DocumentError(f"not an entry: {error}") from error
        if not isinstance(source, str) or len(source) > limits.MAX_URL_LENGTH or not isinstance(chain, str):
            raise DocumentError("not an entry: source or issuer chain is no text")
        if fetched_at.tzinfo is None:
            raise DocumentError("not an entry: its time has no zone")
        document = read_document(Key.from_json(value["key"]), body, chain)
        return cls(document=document, source=source, fetched_at=fetched_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No source had the document: when, which were asked, why not, and before when to leave them in peace."""

    at: datetime
    retry_at: datetime
    sources: tuple[str, ...]
    causes: tuple[str, ...]


class CollateralCache:
    """A directory of entries. Safe for any number of threads and processes."""

    def __init__(self, directory: Path) -> None:
        """Use ``directory``, made where it is not there; raises ``CacheError``."""
        self.directory = directory
        with _directory_errors(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self, key: Key) -> Entry | None:
        """Return the entry of that key. A damaged file counts as none: the next fetch replaces it."""
        try:
            return self._read(f"{key.name}{_ENTRY}", key)
        except DocumentError:
            return None

    def entries(self) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
        """Return all entries, and the names of files that are damaged."""
        with _directory_errors(self.directory):
            names = sorted(path.name for path in self.directory.glob(f"*{_ENTRY}"))
        found, damaged = [], []
        for name in names[: limits.MAX_CACHE_ENTRIES]:
            try:
                entry = self._read(name)
            except DocumentError:
                damaged.append(name)
                continue
            if entry is not None:
                found.append(entry)
        return tuple(found), tuple(damaged)

    def store(self, entry: Entry) -> None:
        """Write the entry in place of any other; a failure is forgotten. Raises ``CacheError``."""
        name = entry.document.key.name
        self._write(f"{name}{_ENTRY}", {"version": _VERSION, **entry.to_json()})
        with _directory_errors(self.directory):
            (self.directory / f"{name}{_FAILURE}").unlink(missing_ok=True)

    def failure(self, key: Key) -> Failure | None:
        """Return how the last attempt failed, unless one has succeeded since."""
        raw = self._bytes(f"{key.name}{_FAILURE}")
        if raw is None:
            return None
        try:
            value = json.loads(raw)
            at, retry_at = (datetime.fromisoformat(value[name]) for name in ("at", "retryAt"))
            sources, causes = (tuple(str(one) for one in value[name]) for name in ("sources", "causes"))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if at.tzinfo is None or retry_at.tzinfo is None:
            return None
        return Failure(at=at, retry_at=retry_at, sources=sources, causes=causes)

    def note_failure(self, key: Key, failure: Failure) -> None:
        """Remember a failed attempt; raises ``CacheError``."""
        document = {
            "at": failure.at.isoformat(),
            "retryAt": failure.retry_at.isoformat(),
            "sources": list(failure.sources),
            "causes": list(failure.causes),
        }
        self._write(f"{key.name}{_FAILURE}", document)

    @contextmanager
    def flight(self, key: Key) -> Iterator[None]:
        """Let one thread of one process at a time look for that document; the others wait."""
        with _directory_errors(self.directory):
            descriptor = os.open(self.directory / f"{key.name}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str, key: Key | None = None) -> Entry | None:
        raw = self._bytes(name)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
            if not isinstance(value, dict) or value.pop("version", None) != _VERSION:
                raise DocumentError("not an entry of this version")
        except (ValueError, RecursionError) as error:
            raise DocumentError(f"not an entry: {error}") from error
        entry = Entry.from_json(value)
        if entry.document.key != (key or entry.document.key) or name != f"{entry.document.key.name}{_ENTRY}":
            raise DocumentError("the entry of another document")
        return entry

    def _bytes(self, name: str) -> bytes | None:
        with _directory_errors(self.directory):
            try:
                with (self.directory / name).open("rb") as file:
                    raw = file.read(limits.MAX_CACHE_FILE_BYTES + 1)
            except FileNotFoundError:
                return None
        return raw if len(raw) <= limits.MAX_CACHE_FILE_BYTES else b""

    def _write(self, name: str, value: dict[str, Any]) -> None:
        with _directory_errors(self.directory):
            replace_file(self.directory / name, json.dumps(value).encode(), mode=0o600)


def check_not_older(new: Document, held: Document) -> None:
    """Check that a document does not go back behind another of its name.

    Raises ``OlderDocumentError``.
    """
    if (new.number or 0) < (held.number or 0):
        raise OlderDocumentError(f"serves number {new.number}, older than {held.number} that is held")
    if new.issued < held.issued:
        issued, newer = new.issued.isoformat(), held.issued.isoformat()
        raise OlderDocumentError(f"serves what was issued {issued}, older than {newer} that is held")


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write ``path`` by rename, so that nobody ever reads half of it; raises ``OSError``."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)  # noqa: PTH105  mkstemp gave a name
    except BaseException:
        os.unlink(draft)  # noqa: PTH108
        raise


@contextmanager
def _directory_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(f"cannot use the collateral cache {directory}: {error.strerror}") from error
