"""Wraps: a data key sealed by the platform, with what that seal depends on in plain beside it.

The plain part cannot be believed where the seal does not open; it is kept to tell an operator the likely
cause (attestation.md 5.6).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coordinator.errors import CorruptStateError
from marbleops.manifest.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMAT = 1
_AAD = b"marbleops/key-wrap/v1\0"
MAX_WRAP_BYTES = 16 * 1024

_CAUSES = (
    ("machine", "it was sealed on another machine"),
    ("signerID", "a Coordinator of another signer sealed it"),
    ("productID", "a Coordinator with another ProductID sealed it"),
    ("debug", "a Coordinator in another debug mode sealed it"),
    ("microcode", "the processor's security version changed (an update of microcode or BIOS)"),
    ("uniqueID", "another build of the Coordinator sealed it, and the SealMode is UniqueKey"),
    ("securityVersion", "a Coordinator with another SecurityVersion sealed it"),
)
"""What a platform's sealing key depends on, the most telling first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    """One sealed data key."""

    circumstances: Mapping[str, str]
    sealed: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the wrap."""
        return canonical_json(
            {
                "format": _FORMAT,
                "circumstances": dict(self.circumstances),
                "sealed": base64.b64encode(self.sealed).decode(),
            }
        )


def decode_wrap(encoded: bytes) -> Wrap:
    """Read a wrap.

    Raises:
        CorruptStateError: it is none.
    """
    try:
        if len(encoded) > MAX_WRAP_BYTES:
            raise CorruptStateError("a sealed key is too long")
        document = json.loads(encoded)
        circumstances = {str(name): str(value) for name, value in document["circumstances"].items()}
        return Wrap(circumstances=circumstances, sealed=base64.b64decode(document["sealed"], validate=True))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptStateError("a sealed key cannot be read") from error


def wrap_aad(name: str, circumstances: Mapping[str, str]) -> bytes:
    """Return what a wrap's seal is bound to: its place in the store and its plain part."""
    return _AAD + canonical_json({"name": name, "circumstances": dict(circumstances)})


def likely_cause(
    wraps: Sequence[Mapping[str, str]], now: Mapping[str, str], *, unique: bool, altered: bool
) -> str:
    """Say why no wrap opens, as far as their circumstances tell."""
    if altered:
        return "the sealed key was altered"
    if not wraps:
        return "the sealed key of this state is missing, or is an older one"
    before = wraps[-1]
    for name, words in _CAUSES:
        was, is_now = before.get(name, "unknown"), now.get(name, "unknown")
        if was != is_now and (name != "uniqueID" or unique):
            return f"{words}: {name} was {was[:80]}, is {is_now[:80]}"
    return "the platform gives another sealing key under the same circumstances"
