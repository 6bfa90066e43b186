"""The data types of SSH blobs (RFC 4251, section 5), read strictly.

One value has one spelling here: numbers are minimal and positive, and ``end`` refuses what is left over.
"""

from __future__ import annotations


class WireError(Exception):
    """Bytes that are not the SSH structure they should be."""


class Reader:
    """Reads one SSH structure from front to back; every method raises ``WireError``."""

    __slots__ = ("_at", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, count: int) -> bytes:
        """Read *count* bytes."""
        if count > len(self._raw) - self._at:
            raise WireError("it ends too early")
        self._at += count
        return self._raw[self._at - count : self._at]

    def uint32(self) -> int:
        """Read a ``uint32``."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Read a ``string`` as bytes."""
        return self.take(self.uint32())

    def text(self) -> str:
        """Read a ``string`` that is a name: printable ASCII."""
        raw = self.string()
        if not raw.isascii() or not (text := raw.decode("ascii")).isprintable():
            raise WireError("a name is not printable ASCII")
        return text

    def mpint(self) -> int:
        """Read a positive ``mpint`` without superfluous leading zeros."""
        raw = self.string()
        if not raw or raw[0] >= 0x80:
            raise WireError("a number is not positive")
        if raw[0] == 0 and (len(raw) == 1 or raw[1] < 0x80):
            raise WireError("a number is zero or not minimal")
        return int.from_bytes(raw, "big")

    def end(self) -> None:
        """Refuse bytes that nothing has read."""
        if self._at != len(self._raw):
            raise WireError("bytes follow its end")


def write_string(raw: bytes) -> bytes:
    """Write a ``string``."""
    return len(raw).to_bytes(4, "big") + raw
