"""The operating system's clock and randomness, the only module that reads either; and no core files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from datetime import UTC, datetime

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Between them every certificate can be written: X.509 begins in 1950 and ends with the year 9999."""


class SystemClock:
    """The host's clock, which may lie but not bring anything to a halt."""

    def now(self) -> datetime:
        """Return the current time in UTC, within the bounds."""
        try:
            return bounded(datetime.now(UTC))
        except (OverflowError, ValueError, OSError):  # a year that Python does not know
            return LATEST


def bounded(at: datetime) -> datetime:
    """Return *at*, or the bound that it is beyond."""
    return min(max(at, EARLIEST), LATEST)


class SystemEntropy:
    """The kernel's random number generator."""

    def bytes(self, count: int) -> bytes:
        """Return *count* random bytes."""
        return os.urandom(count)


_PR_SET_DUMPABLE = 4


def forbid_core_files() -> None:
    """Let a crash write no memory anywhere: it holds every secret, and Python cannot wipe it.

    The limit stops core files; the flag also stops a handler of the kernel's ``core_pattern``, and other
    processes of this user from reading this one. A library OS may know neither; there an enclave protects.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
