"""What the Coordinator needs from the world, at most five methods each (architecture.md section 3).

A port is synchronous: blocking calls run in the one executor of the process. Every adapter of a port passes
the same contract suite in ``tests/contract``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from marbleops.attestation.verdict import Verdict


class SealPolicy(StrEnum):
    """Who can open a sealed value: this very build, or every build of its signer (MarbleRun's seal modes)."""

    UNIQUE = "unique"
    PRODUCT = "product"


class Store(Protocol):
    """Untrusted, durable bytes by name. Blobs never change; a pointer changes by compare-and-swap only."""

    def get(self, name: str) -> bytes | None:
        """Return the blob or pointer *name*, or None."""

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Make all *blobs* durable together; a name that exists keeps its bytes."""

    def has(self, name: str) -> bool:
        """Say whether *name* exists."""

    def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Set the pointer *name* to *new*, durably, if it is *old* (None: absent); return whether it was."""

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that start with *prefix*, sorted."""


class Sealer(Protocol):
    """Encrypts for this enclave on this machine. Stateless."""

    def seal(self, plaintext: bytes, aad: bytes, *, policy: SealPolicy) -> bytes:
        """Encrypt and authenticate *plaintext* and authenticate *aad*."""

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Open *sealed*; raise ForeignSealError for another identity's key, SealError for altered bytes."""

    def key_name(self, policy: SealPolicy) -> str:
        """Name, one-way, the key that seals under *policy* now: 32 hexadecimal digits."""

    def policy_of(self, sealed: bytes) -> SealPolicy | None:
        """Return the policy that *sealed* names, or None where no sealer of this kind made it."""

    def circumstances(self) -> Mapping[str, str]:
        """Say in plain words what the keys depend on (machine, microcode, build), to explain their loss."""


class QuoteIssuer(Protocol):
    """The platform's quoting: this process, attested."""

    def quote(self, report_data: bytes) -> bytes:
        """Return evidence (Open Enclave header and quote) over *report_data*."""


class QuoteVerifier(Protocol):
    """Cryptographic verification of evidence against a trust anchor; not its appraisal."""

    def verify(self, evidence: bytes, at: datetime) -> Verdict:
        """Return the verdict on *evidence*; never raises on bad input."""


class Clock(Protocol):
    """The host's clock. No approval depends on it."""

    def now(self) -> datetime:
        """Return the current time in UTC."""


class Entropy(Protocol):
    """Cryptographic randomness."""

    def bytes(self, count: int) -> bytes:
        """Return *count* random bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationEvent:
    """One successful activation, as ``GET /events`` tells it (marblerun-core section 9)."""

    at: datetime
    marble_type: str
    uuid: str
    quote: bytes


class Observer(Protocol):
    """Who counts activations. It never fails and never waits: a marble's turn does not depend on it."""

    def activation_attempt(self, marble_type: str | None, uuid: str) -> None:
        """Count a call; *marble_type* is None where the enforced manifest has no such type."""

    def activation_success(self, event: ActivationEvent) -> None:
        """Count and remember an activation that is durable."""

    def events(self) -> tuple[ActivationEvent, ...]:
        """Return the newest successes, oldest first; the number is bounded."""


class Unobserved:
    """An observer that forgets everything."""

    def activation_attempt(self, marble_type: str | None, uuid: str) -> None:
        """Forget the call."""

    def activation_success(self, event: ActivationEvent) -> None:
        """Forget the activation."""

    def events(self) -> tuple[ActivationEvent, ...]:
        """Return nothing."""
        return ()
