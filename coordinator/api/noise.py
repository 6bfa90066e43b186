"""What failed handshakes leave in the log: a line at the level the owner chose, at most one a second.

Scanners and wrong clients are everyday; EDG_HTTP_ERROR_LOG_LEVEL says how loud they are. Strangers decide how
many there are, so what a second brings beyond the first is only counted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from OpenSSL import SSL

_SECONDS = 1.0
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_log = structlog.get_logger("coordinator.tls")


class HandshakeNoise:
    """One listener's failed handshakes."""

    def __init__(self, level: str) -> None:
        self._level = _LEVELS[level]
        self._quiet_until = 0.0
        self._unsaid = 0

    def heard(self, peer: Any, error: SSL.Error, now: float) -> None:
        """Hear of a failed handshake at the time *now* (seconds, monotonic)."""
        if now < self._quiet_until:
            self._unsaid += 1
            return
        self._quiet_until = now + _SECONDS
        _log.log(self._level, "handshake_failed", peer=_host(peer), reason=_reason(error), more=self._unsaid)
        self._unsaid = 0


def _host(peer: Any) -> str:
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's own word for it; nothing in there is the peer's text."""
    entries = error.args[0] if error.args else ()
    return str(entries[-1][-1]) if entries and isinstance(entries, list) else type(error).__name__
