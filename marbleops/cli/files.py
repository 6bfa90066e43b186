"""Reading small files with a limit, and writing private ones without a moment of half a file."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from marbleops.cli.errors import UsageProblem

if TYPE_CHECKING:
    from pathlib import Path

MAX_JSON_BYTES = 16 * 1024 * 1024


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Return the file's bytes.

    Raises:
        UsageProblem: it cannot be read or holds more than *limit* bytes.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise UsageProblem(error.strerror or "cannot be read", where=str(path)) from error
    if len(raw) > limit:
        raise UsageProblem(f"the file is larger than {limit} bytes", where=str(path))
    return raw


def read_json_object(path: Path, *, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return the JSON object in *path*.

    Raises:
        UsageProblem: it cannot be read, is too large, or is no JSON object.
    """
    try:
        value = json.loads(read_bytes(path, limit=limit))
    except json.JSONDecodeError as error:  # its text quotes nothing of the file, which may hold secrets
        raise UsageProblem(f"not valid JSON: {error}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise UsageProblem("not valid JSON", where=str(path)) from error
    if not isinstance(value, dict):
        raise UsageProblem("not a JSON object", where=str(path))
    return value


def write_private(path: Path, content: bytes) -> None:
    """Write *path* with mode 0600 by rename, making its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - by name: mkstemp gave a name
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise
