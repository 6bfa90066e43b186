"""Files that survive ``kill -9``: written beside, synced, renamed, and the folder synced.

A reader sees the old content or the new, never a part. What cannot be read is reported, not guessed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from reconciler import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DiskError(Exception):
    """A file of ours is missing a part, too large, or not what we wrote."""


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace *path* by *content*, durably.

    Raises:
        OSError: the file system refuses.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_json(path: Path, value: object, *, mode: int = 0o600) -> None:
    """Write *value* as indented JSON with :func:`write_atomic`."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(), mode=mode)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run had begun to write. Only for who holds the folder's lock."""
    for path in folder.glob(".*.new"):
        path.unlink(missing_ok=True)


def read_bounded(path: Path, limit: int) -> bytes | None:
    """Read at most *limit* bytes of *path*; ``None`` where there is no such file.

    Raises:
        DiskError: the file is longer than *limit*, or not a plain readable file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror}") from error
    if len(content) > limit:
        raise DiskError(f"{path}: longer than {limit} bytes")
    return content


def read_json(path: Path) -> dict[str, Any] | None:
    """Read an object that :func:`write_json` wrote; ``None`` where there is no file.

    Raises:
        DiskError: it is not a JSON object.
    """
    content = read_bounded(path, limits.MAX_STATE_BYTES)
    if content is None:
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DiskError(f"{path}: not JSON") from error
    if not isinstance(value, dict):
        raise DiskError(f"{path}: not a JSON object")
    return value


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold the lock file *path*; yields whether we have it. The kernel frees it when we die."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
