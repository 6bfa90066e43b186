"""What the reconciler needs of a Coordinator: one protocol, and the errors it may end with.

``coordinator.RemoteCoordinator`` speaks it over the attested connection, ``tests/fakes`` in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from marbleops.approval.decision import Decision
    from marbleops.approval.enforced import Enforced
    from marbleops.approval.evidence import Piece
    from marbleops.manifest.digest import Digest


class Phase(StrEnum):
    """What a Coordinator is doing."""

    RECOVERY = "recovery"
    AWAITING_MANIFEST = "awaiting-manifest"
    ENFORCING = "enforcing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A Coordinator whose fresh quote was accepted: the fingerprint of the root certificate in it.

    ``quoted`` is the manifest that the quote itself names as enforced; None where it names none.
    """

    root: str
    trust_domain: str
    quoted: Digest | None = None


class CoordinatorUnavailableError(Exception):
    """It does not answer, or cannot right now. May heal."""


class CoordinatorUntrustedError(Exception):
    """It answers, and does not prove what it must. ``reason`` is the verifier's code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CoordinatorRefusedError(Exception):
    """It refuses the call itself, for instance because it has no GitOps section or knows no such call."""


class Coordinator(Protocol):
    """An attested conversation. Every method may raise the three errors above."""

    def attest(self, *, nonce: bytes, at: datetime) -> Identity:
        """Prove with a fresh quote who answers; must come first."""
        ...

    def phase(self) -> Phase:
        """Tell what the Coordinator is doing."""
        ...

    def enforced(self) -> Enforced | None:
        """Return what is enforced; ``None`` where there is no manifest with a GitOps section."""
        ...

    def submit(self, raw: bytes, pieces: Sequence[Piece], *, url: str, revision: str) -> Decision:
        """Send a manifest with its evidence to be enforced."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...
