"""Answers that more than one verb gives: recovery secrets, and content that goes to a file or the screen."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.files import write_private
from marbleops.cli.output import printer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def encoded(secrets: Mapping[str, bytes]) -> dict[str, str]:
    """Return secrets in base64, by name."""
    return {name: base64.b64encode(secrets[name]).decode() for name in sorted(secrets)}


def check_writable(file: Path | None) -> None:
    """Refuse a place for recovery secrets that cannot be written, before there are any.

    Raises:
        UsageProblem: it cannot be written.
    """
    if file is None:
        return
    folder = file.parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageProblem(
            "the recovery secrets could not be saved here",
            where=str(file),
            next_step="give a file in a folder that exists and that you may write to",
        )


def give_recovery_secrets(secrets: Mapping[str, bytes], file: Path | None) -> dict[str, Any]:
    """Save or print encrypted recovery secrets; return what the JSON answer says about them.

    If saving fails they are printed: there is no second chance to get them.

    Raises:
        CommandError: they could not be saved.
    """
    if not secrets:
        return {}
    document = {"RecoverySecrets": encoded(secrets)}
    text = json.dumps(document)
    out = printer()
    if file is None:
        out.line(text)
        return document
    try:
        write_private(file, (text + "\n").encode())
    except OSError as error:
        out.document(document)
        out.line(text)
        words = f"the recovery secrets could not be saved ({error.strerror}): keep what is printed above"
        raise CommandError(words, exit_code=Exit.USAGE, where=str(file)) from error
    out.line(f"Recovery data saved to: {file}")
    return {"recoveryData": str(file)}


def write_new(file: Path, content: bytes) -> None:
    """Write a file with mode 0600 that must not exist yet.

    Raises:
        UsageProblem: it exists.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageProblem(
            "the file exists and is not overwritten", where=str(file), next_step="choose another -o FILE"
        ) from error
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
