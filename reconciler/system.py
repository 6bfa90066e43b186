"""Clock and randomness: the only module of the reconciler that has them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What the rest receives as an argument."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    entropy: Callable[[int], bytes]

    def nonce(self) -> bytes:
        """Draw a nonce for one attestation."""
        return self.entropy(32)

    def jitter(self, seconds: float) -> float:
        """Spread *seconds* by up to a tenth either way, so that many reconcilers do not call at once."""
        part = int.from_bytes(self.entropy(2), "big") / 65535
        return seconds * (0.9 + 0.2 * part)


def _utc() -> datetime:
    return datetime.now(UTC)


REAL = System(now=_utc, monotonic=time.monotonic, entropy=os.urandom)
"""The machine's own."""


def timestamp(at: datetime) -> str:
    """Write *at* as RFC 3339 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
