"""What is kept on disk is whole or refused, and a lock is held once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.disk import DiskError, exclusive, read_bounded, read_json, remove_leftovers, write_atomic
from reconciler.settings import CoordinatorSettings, PlatformKind, RepositorySettings, Target
from reconciler.state import (
    Acceptance,
    TargetState,
    drop_acceptance,
    read_acceptance,
    read_state,
    write_acceptance,
    write_state,
)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """Make a target with a folder."""
    return Target(
        name="prod",
        repository=RepositorySettings(url="/r", branch="main", local=Path("/r"), ca=None),
        path=None,
        interval=30.0,
        coordinator=CoordinatorSettings(
            address="a:1", platform=PlatformKind.INTEL, anchor=None, era=None, pinned_root=None
        ),
        approvals=None,
        folder=tmp_path,
        fingerprint="f1",
    )


def test_replaced_as_a_whole(tmp_path: Path) -> None:
    """A file is replaced, and what a killed writer left is removed."""
    path = tmp_path / "a.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / ".a.json.99.new").write_bytes(b"tw")
    remove_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_failed_write_leaves_the_old(tmp_path: Path) -> None:
    """Where the new content cannot be put in place the old stays and nothing lies beside it."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "x").touch()
    with pytest.raises(OSError, match="irectory"):
        write_atomic(path, b"content")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    """Anything but a JSON object is an error with the file's name."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DiskError, match=r"a\.json"):
        read_json(path)


def test_bounds(tmp_path: Path) -> None:
    """A file over its bound, and a folder, are refused."""
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(DiskError, match="longer than 4"):
        read_bounded(path, 4)
    with pytest.raises(DiskError):
        read_bounded(tmp_path, 10)
    assert read_bounded(tmp_path / "none", 1) is None


def test_lock_is_exclusive(tmp_path: Path) -> None:
    """A second holder is told so; afterwards it is free."""
    path = tmp_path / "deep" / "lock"
    with exclusive(path) as first, exclusive(path) as second:
        assert (first, second) == (True, False)
    with exclusive(path) as again:
        assert again


def test_state_round_trip_and_generations(target: Target) -> None:
    """State is read back; other settings are another generation."""
    assert read_state(target) == TargetState(settings="f1")
    state = TargetState(root="sha256:aa", version=4, digest="d", commit="c", deployment="x", settings="f1")
    write_state(target, state)
    assert read_state(target) == state
    moved = replace(target, fingerprint="f2")
    assert read_state(moved).generation == 2
    assert read_state(moved).version == 4


@pytest.mark.parametrize(
    "content", [b"{}", b'{"format": 2}', b'{"format": 1, "generation": "x", "settings": ""}']
)
def test_damaged_state_is_refused(target: Target, content: bytes) -> None:
    """A state that cannot be understood is never taken for an empty one."""
    (target.folder / "state.json").write_bytes(content)
    with pytest.raises(DiskError):
        read_state(target)


def test_acceptance(target: Target) -> None:
    """An acceptance waits until it is taken."""
    assert read_acceptance(target) is None
    write_acceptance(target, Acceptance(root="sha256:aa"), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert read_acceptance(target) == Acceptance(root="sha256:aa")
    drop_acceptance(target)
    drop_acceptance(target)
    assert read_acceptance(target) is None
    (target.folder / "accept.json").write_bytes(b"{}")
    with pytest.raises(DiskError):
        read_acceptance(target)
