"""What a Store is: one suite, run on every adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sqlite import SqliteStore
from coordinator.adapters.system import SystemEntropy
from coordinator.barrier import Barrier
from coordinator.domain import envelope
from coordinator.errors import StoreError
from coordinator.ports import Store
from coordinator.vault import Keyring
from tests.fakes.crashing_store import CrashingStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"k" * 32
Open = Callable[["Path"], Store]


def _sealed(inner: Store) -> Store:
    keyring = Keyring(entropy=SystemEntropy(), current=KEY, known={envelope.key_id(KEY): KEY})
    return Barrier(inner, keyring)


ADAPTERS: dict[str, Open] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": SqliteStore,
    "crashing": lambda _: CrashingStore(MemoryStore()),
    "barrier-over-memory": lambda _: _sealed(MemoryStore()),
    "barrier-over-sqlite": lambda directory: _sealed(SqliteStore(directory)),
}


@pytest.fixture(params=sorted(ADAPTERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = ADAPTERS[request.param](tmp_path)
    yield opened
    inner = getattr(opened, "_store", opened)
    if isinstance(inner, SqliteStore):
        inner.close()


def test_absent(store: Store) -> None:
    """A name nobody wrote is absent."""
    assert store.get("a") is None
    assert not store.has("a")
    assert store.list("") == ()


def test_put_and_get(store: Store) -> None:
    """Blobs come back as they were, the empty one too."""
    store.put({"blob/a": b"one", "blob/b": b"", "other": b"\0" * 100_000})
    assert [store.get(name) for name in ("blob/a", "blob/b")] == [b"one", b""]
    assert store.get("other") == b"\0" * 100_000
    assert store.has("blob/b")


def test_put_again_is_harmless(store: Store) -> None:
    """The same blob again changes nothing; a crash between put and swap leaves such blobs behind."""
    store.put({"a": b"one"})
    store.put({"a": b"one", "b": b"two"})
    assert (store.get("a"), store.get("b")) == (b"one", b"two")


def test_put_nothing(store: Store) -> None:
    """No blobs is no error."""
    store.put({})
    assert store.list("") == ()


def test_list_is_by_plain_prefix(store: Store) -> None:
    """Names are matched by prefix, character for character, and sorted."""
    store.put({"b/2": b"", "b/1": b"", "b%": b"", "c": b""})
    assert store.list("b/") == ("b/1", "b/2")
    assert store.list("b") == ("b%", "b/1", "b/2")
    assert store.list("_") == ()


def test_compare_and_swap(store: Store) -> None:
    """Only the value that is there can be replaced; absence is a value."""
    assert not store.compare_and_swap("p", b"zero", b"one")
    assert store.compare_and_swap("p", None, b"one")
    assert not store.compare_and_swap("p", None, b"two")
    assert not store.compare_and_swap("p", b"two", b"three")
    assert store.get("p") == b"one"
    assert store.compare_and_swap("p", b"one", b"two")
    assert store.get("p") == b"two"


def test_setting_aside(tmp_path: Path) -> None:
    """What SQLite holds is renamed, never overwritten, and the same store goes on empty."""
    store = SqliteStore(tmp_path)
    store.put({"old": b"1"})
    (moved,) = store.set_aside("first")
    assert (moved.name, store.list("")) == ("state-first.db", ())
    store.put({"new": b"2"})
    with pytest.raises(StoreError, match=r"state-first\.db exists"):
        store.set_aside("first")
    assert store.get("new") == b"2"
    store.close()
    (tmp_path / "kept").mkdir()
    moved.rename(tmp_path / "kept" / "state.db")
    kept = SqliteStore(tmp_path / "kept")
    assert kept.get("old") == b"1"
    kept.close()
