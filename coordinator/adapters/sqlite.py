"""The default store: one SQLite file in the seal directory (architecture.md decision 3).

``locking_mode=EXCLUSIVE`` comes before WAL, so that SQLite needs no shared memory map (Gramine has none) and
a second process is refused. ``synchronous=FULL`` makes a returned write durable. The file is untrusted:
everything in it is sealed by ``barrier``.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coordinator.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE_NAME = "state.db"
_SIDE_FILES = ("", "-wal", "-shm", "-journal")
_TABLE = "CREATE TABLE entries (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
MAX_VALUE_BYTES = 40 * 1024 * 1024
"""More than any sealed value has; what the disk claims to be longer is refused before memory is spent."""


class SqliteStore:
    """Blobs and pointers in one table of one exclusively locked database."""

    def __init__(self, directory: Path) -> None:
        """Open or create the database in *directory*.

        Raises:
            StoreError: the file cannot be opened, is no database, or another process holds it.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / FILE_NAME
        self._lock = threading.Lock()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            _flush_directory(directory)
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=2.0
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError("the state database in the seal directory cannot be opened") from error
        try:
            for pragma in (
                "locking_mode=EXCLUSIVE",
                "journal_mode=WAL",
                "synchronous=FULL",
                "trusted_schema=OFF",
                "cell_size_check=ON",
                "mmap_size=0",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            # A write takes the exclusive lock now, so that a second Coordinator fails here and not at its
            # first change.
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            _require_schema(self._connection)
            self._connection.execute("COMMIT")
        except StoreError:
            self._connection.close()
            raise
        except sqlite3.Error as error:
            self._connection.close()
            why = "another process holds it" if "locked" in str(error) else "it is no intact database"
            raise StoreError(f"the state database in the seal directory cannot be used: {why}") from error

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def get(self, name: str) -> bytes | None:
        """Return the value of *name*, or None."""
        with self._statement() as connection:
            row = connection.execute("SELECT value FROM entries WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        if not isinstance(row[0], bytes):
            raise StoreError("the state database holds a value that is no blob")
        return row[0]

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write the *blobs* that are new, in one transaction with one flush."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", tuple(blobs.items()))

    def has(self, name: str) -> bool:
        """Say whether *name* exists."""
        with self._statement() as connection:
            return connection.execute("SELECT 1 FROM entries WHERE name = ?", (name,)).fetchone() is not None

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Set *name* to *new* if it is *old*, durably."""
        with self._transaction() as connection:
            if old is None:
                cursor = connection.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", (name, new))
            else:
                cursor = connection.execute(
                    "UPDATE entries SET value = ? WHERE name = ? AND value = ?", (new, name, old)
                )
            return cursor.rowcount == 1

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that start with *prefix*, sorted."""
        with self._statement() as connection:
            rows = connection.execute(
                "SELECT name FROM entries WHERE substr(name, 1, ?) = ? ORDER BY name", (len(prefix), prefix)
            ).fetchall()
        return tuple(row[0] for row in rows)

    @contextmanager
    def _statement(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise StoreError("the state database failed") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._statement() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _require_schema(connection: sqlite3.Connection) -> None:
    """Make our table, or accept it and nothing beside it: views and triggers would be the disk's programs."""
    found = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema")]
    if not found:
        connection.execute(_TABLE)
    elif found != [_TABLE]:
        raise StoreError("the state database in the seal directory has a schema that is not ours")


def _flush_directory(directory: Path) -> None:
    """Make the file's name durable too: a flushed file without a name is lost with the power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(directory: Path, *, suffix: str) -> tuple[Path, ...]:
    """Rename the database and its side files in *directory*; nothing is ever overwritten.

    Raises:
        StoreError: a file of the new name exists already, or renaming failed.
    """
    moved = []
    for side in _SIDE_FILES:
        source = directory / f"{FILE_NAME}{side}"
        target = directory / f"state-{suffix}.db{side}"
        if not source.exists():
            continue
        if target.exists():
            raise StoreError(f"cannot set the old state aside: {target.name} exists")
        source.rename(target)
        moved.append(target)
    return tuple(moved)
