"""Puts a marble's files where the manifest says: mode 0600, new folders 0700, never through a symbolic link.

The file system may be the host's, so every component is opened by descriptor relative to the one before it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PlaceError(Exception):
    """A file cannot be written; the text names it."""


def place_files(files: Mapping[str, bytes]) -> None:
    """Write *files* (path to content), relative paths from the current folder.

    Raises:
        PlaceError: a component is a symbolic link or no folder, the target no plain file, or writing fails.
    """
    for path in sorted(files):
        try:
            _place(path, files[path])
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            raise PlaceError(f"the manifest's file {path!r} cannot be written: {words}") from error


def _place(path: str, content: bytes) -> None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.endswith("/") or "\0" in path or ".." in parts:
        raise ValueError("not a path of a file")
    folder = os.open("/" if path.startswith("/") else ".", _DIRECTORY)
    try:
        for part in parts[:-1]:
            folder = _enter(folder, part)
        _write(folder, parts[-1], content)
    finally:
        os.close(folder)


def _enter(folder: int, name: str) -> int:
    """Open a folder inside *folder*, making it if it is not there; close *folder*."""
    try:
        following = os.open(name, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=folder)
        following = os.open(name, _DIRECTORY, dir_fd=folder)
    os.close(folder)
    return following


def _write(folder: int, name: str, content: bytes) -> None:
    # Never into a file that is there: somebody may own it, have it open, or know it by another name.
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise ValueError("something else than a plain file is there")
        os.unlink(name, dir_fd=folder)
    descriptor = os.open(name, _FILE, 0o600, dir_fd=folder)
    with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, not a path
        file.write(content)
