"""The identity of a manifest: SHA-256 over its bytes exactly as received.

Nothing is canonicalised. Two manifests that mean the same but differ in one space are two manifests
(marblerun-core 0.2, approvals.md section 1).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_TEXT = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 digest, 32 bytes; its text form is ``sha256:<64 lower-case hex>``."""

    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != 32:
            raise ValueError("a SHA-256 digest has 32 bytes")

    @classmethod
    def of(cls, raw: bytes) -> Digest:
        """Digest the bytes *raw*."""
        return cls(hashlib.sha256(raw).digest())

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the text form, strictly.

        Raises:
            ValueError: the text is not ``sha256:`` and 64 lower-case hexadecimal digits.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("expected 'sha256:' and 64 lower-case hexadecimal digits")
        return cls(bytes.fromhex(match.group(1)))

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits without a prefix (MarbleRun's *fingerprint*)."""
        return self.value.hex()

    def __str__(self) -> str:
        return f"sha256:{self.value.hex()}"
