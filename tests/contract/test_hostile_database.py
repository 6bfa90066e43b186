"""A database file that the disk wrote itself: refused in our words, before it costs memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from coordinator.adapters import sqlite as adapter
from coordinator.adapters.sqlite import FILE_NAME, SqliteStore
from coordinator.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIGGER = (
    "CREATE TRIGGER undo AFTER UPDATE ON entries BEGIN "
    "UPDATE entries SET value = old.value WHERE name = old.name; END"
)
VIEW = "CREATE VIEW other AS SELECT name, zeroblob(1000000) AS value FROM entries"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    yield store
    store.close()


@pytest.mark.parametrize("value", [10**9, "text", 1.5])
def test_values_are_blobs(tmp_path: Path, value: object) -> None:
    """A number or text where a blob belongs is refused: ``bytes(10**9)`` would be a gigabyte of zeros."""
    SqliteStore(tmp_path).close()
    _run(tmp_path, "INSERT INTO entries VALUES ('pointer', ?)", value)
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="no blob"):
        store.get("pointer")
    store.close()


@pytest.mark.parametrize("statement", [TRIGGER, VIEW, "CREATE TABLE more (name)"])
def test_only_our_schema_is_opened(tmp_path: Path, statement: str) -> None:
    """Triggers, views and further tables are programs and places of the disk's; none is run or read."""
    SqliteStore(tmp_path).close()
    _run(tmp_path, statement)
    with pytest.raises(StoreError, match="schema that is not ours"):
        SqliteStore(tmp_path)


def test_long_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value beyond the bound is an error of the store, not an allocation."""
    SqliteStore(tmp_path).close()
    _run(tmp_path, "INSERT INTO entries VALUES ('pointer', zeroblob(?))", 100_000)
    monkeypatch.setattr(adapter, "MAX_VALUE_BYTES", 10_000)
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreError):
        store.get("pointer")
    store.close()


def test_files_are_the_owners_alone(opened: SqliteStore, tmp_path: Path) -> None:
    """Database and log are readable for their owner only."""
    opened.put({"a": b"1"})
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{FILE_NAME}*")} == {0o600}


def _run(directory: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.execute(statement, values)
        connection.commit()
