"""The operating system's clock and randomness: the only module that reads either."""

from __future__ import annotations

import os
from datetime import UTC, datetime


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


class SystemEntropy:
    """The kernel's random number generator."""

    def bytes(self, count: int) -> bytes:
        """Return *count* random bytes."""
        return os.urandom(count)
