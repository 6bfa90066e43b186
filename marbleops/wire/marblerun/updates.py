"""Updates of a plain deployment: apply, look, acknowledge, cancel (marblerun-core 6)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.wire.envelope import Reading, data_object
from marbleops.wire.marblerun.manifests import MAX_KEYS, recovery_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.wire.marblerun.session import Session

MAX_NAME = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAnswer:
    """What became of an update: applied where nothing is missing."""

    missing_acknowledgments: int
    missing_users: tuple[str, ...]
    recovery_secrets: Mapping[str, bytes] = field(repr=False)
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingManifest:
    """A manifest that waits for acknowledgements."""

    raw: bytes = field(repr=False)
    missing_users: tuple[str, ...]
    message: str


def manifest_update_apply(session: Session, raw: bytes) -> UpdateAnswer:
    """Submit an update as the session's user; raises CoordinatorError."""
    return _answer(session.post("update", {"manifest": base64.b64encode(raw).decode()}))


def manifest_update_acknowledge(session: Session, raw: bytes) -> UpdateAnswer:
    """Agree to the pending update, naming its bytes, as the session's user; raises CoordinatorError."""
    return _answer(session.post("update-manifest", {"manifest": base64.b64encode(raw).decode()}))


def manifest_update_cancel(session: Session) -> None:
    """Withdraw the pending update as the session's user; raises CoordinatorError."""
    session.post("update-cancel")


def manifest_update_get(session: Session) -> PendingManifest:
    """Fetch the pending update; raises CoordinatorError (404 where none is pending)."""
    found = data_object(session.get("update-manifest"))
    with Reading():
        return PendingManifest(
            raw=jsonread.base64_bytes(found.get("manifest"), name="manifest"),
            missing_users=_users(found.get("missingUsers")),
            message=jsonread.text(found.get("message"), name="message", max_chars=65_536),
        )


def _answer(data: Any) -> UpdateAnswer:
    found = data_object(data)
    with Reading():
        return UpdateAnswer(
            missing_acknowledgments=jsonread.integer(
                found.get("missingAcknowledgments"), name="missingAcknowledgments"
            ),
            missing_users=_users(found.get("missingUsers")),
            recovery_secrets=recovery_secrets(found.get("recoverySecrets")),
            message=jsonread.text(found.get("message", ""), name="message", max_chars=65_536),
        )


def _users(value: Any) -> tuple[str, ...]:
    given = [] if value is None else value
    return jsonread.texts(given, name="missingUsers", max_items=MAX_KEYS, max_chars=MAX_NAME)
