"""MarbleRun's answer envelope, read strictly (marblerun-core 11): ``status``, ``data`` and ``message``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.manifest.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.wire.connection import Answer


class CoordinatorError(Exception):
    """The Coordinator answered with an error, or with something that is not the interface's form.

    ``status`` is the envelope's word (``error`` or ``fail``), ``malformed`` where there is no good envelope.
    """

    def __init__(self, http: int, status: str, message: str, data: Any = None) -> None:
        super().__init__(message or f"HTTP {http}")
        self.http = http
        self.status = status
        self.message = message
        self.data = data


class Reading:
    """Turns shape errors of an answer into :class:`CoordinatorError`."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, (jsonread.JsonShapeError, ManifestError, ValueError)):
            raise CoordinatorError(200, "malformed", f"the Coordinator's answer: {error}") from error


def open_envelope(answer: Answer) -> Any:
    """Return the ``data`` of a success.

    Raises:
        CoordinatorError: it is no success, or no envelope.
    """
    try:
        envelope = json.loads(answer.body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CoordinatorError(answer.status, "malformed", "the answer is not JSON") from error
    if not isinstance(envelope, dict):
        raise CoordinatorError(answer.status, "malformed", "the answer is not an object")
    if answer.status == 200 and envelope.get("status") == "success":
        return envelope.get("data")
    words, message = envelope.get("status"), envelope.get("message")
    raise CoordinatorError(
        answer.status,
        words if words in ("error", "fail") else "malformed",
        message if isinstance(message, str) else "",
        envelope.get("data"),
    )


def data_object(value: Any) -> Mapping[str, Any]:
    """Return *value* if it is an object.

    Raises:
        CoordinatorError: it is something else.
    """
    if not isinstance(value, dict):
        raise CoordinatorError(200, "malformed", "the answer's data is not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
