"""Where files may be put."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from marbleops.marble.place import PlaceError, place_files

if TYPE_CHECKING:
    from pathlib import Path


def test_an_existing_file_is_replaced_not_written(tmp_path: Path) -> None:
    """Who had the file open, or knows it by another name, does not see what the manifest puts there."""
    target = tmp_path / "secret"
    target.write_bytes(b"longer than before")
    target.chmod(0o666)
    os.link(target, tmp_path / "other name")
    with target.open("rb") as spy:
        place_files({str(target): b"new"})
        assert spy.read() == b"longer than before"
    assert (tmp_path / "other name").read_bytes() == b"longer than before"
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)


@pytest.mark.parametrize("path", ["", "/", ".", "a/", "a/../b", "..", "nul\0", "file/below", "pipe"])
def test_what_is_no_place_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Folders, ways up, files in the way and pipes are refused by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"kept")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PlaceError, match="cannot be written"):
        place_files({path: b"x"})
    assert (tmp_path / "file").read_bytes() == b"kept"
