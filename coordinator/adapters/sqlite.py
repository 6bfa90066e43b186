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
        self._directory = directory
        self._lock = threading.Lock()
        self._connection = _connect(directory)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def set_aside(self, suffix: str) -> tuple[Path, ...]:
        """Rename the database and its side files, and go on with an empty one; return the new names.

        Raises:
            StoreError: a file of the new name exists already, or the renaming or the new database failed.
        """
        with self._lock:
            self._connection.close()
            try:
                moved = _rename(self._directory, suffix)
            finally:
                self._connection = _connect(self._directory)
        return moved

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
        """Set *name* to *new* if it is *old*, durably: one statement is a transaction of its own."""
        with self._statement() as connection:
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


def _connect(directory: Path) -> sqlite3.Connection:
    """Open or create the database in *directory*, and hold it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE_NAME
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        _flush_directory(directory)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
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
            connection.execute(f"PRAGMA {pragma}")
        # A write takes the exclusive lock now, so that a second Coordinator fails here and not at its first
        # change.
        connection.execute("BEGIN EXCLUSIVE")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        _require_schema(connection)
        connection.execute("COMMIT")
    except StoreError:
        connection.close()
        raise
    except sqlite3.Error as error:
        connection.close()
        why = "another process holds it" if "locked" in str(error) else "it is no intact database"
        raise StoreError(f"the state database in the seal directory cannot be used: {why}") from error
    return connection


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


def _rename(directory: Path, suffix: str) -> tuple[Path, ...]:
    """Give the files of a closed database other names; nothing is ever overwritten."""
    moves = []
    for side in _SIDE_FILES:
        source, target = directory / f"{FILE_NAME}{side}", directory / f"state-{suffix}.db{side}"
        if source.exists():
            moves.append((source, target))
        if target.exists():
            raise StoreError(f"cannot set the old state aside: {target.name} exists")
    try:
        # The side files first: a database without its log is older than it should be, a log alone is nothing.
        for source, target in reversed(moves):
            source.rename(target)
        _flush_directory(directory)
    except OSError as error:
        raise StoreError("cannot set the old state aside: renaming failed") from error
    return tuple(target for _, target in moves)
