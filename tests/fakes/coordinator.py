"""A Coordinator in memory: the reconciler's port with the real ``decide`` behind it, and faults to inject.

It holds the same rules as the enclave, because it calls the same function; what it lacks is the quote.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marbleops.approval.decide import decide
from marbleops.approval.decision import Decision, Outcome, applied
from marbleops.approval.deployment import deployment_id
from marbleops.approval.enforced import Enforced
from marbleops.approval.floors import carry_attested
from reconciler.ports import CoordinatorUnavailableError, CoordinatorUntrustedError, Identity, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from marbleops.approval.evidence import Piece


@dataclass
class FakeCoordinator:
    """One Coordinator; ``after_commit`` runs between its commit and its answer."""

    seed: bytes = b"root key"
    down: bool = False
    untrusted: bool = False
    recovering: bool = False
    state: Enforced | None = None
    submissions: list[tuple[bytes, tuple[Piece, ...]]] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)
    before_submit: Callable[[], None] | None = None
    after_commit: Callable[[], None] | None = None
    nonces: list[bytes] = field(default_factory=list)

    @property
    def root(self) -> str:
        """The fingerprint of the root certificate."""
        return f"sha256:{hashlib.sha256(self.seed).hexdigest()}"

    @property
    def version(self) -> int:
        """The enforced version, 0 while fresh."""
        return self.state.manifest.gitops.version if self.state and self.state.manifest.gitops else 0

    def attest(self, *, nonce: bytes, at: datetime) -> Identity:
        """Answer with the root, unless a fault is set."""
        self._alive()
        if self.untrusted:
            raise CoordinatorUntrustedError("bad-quote", "the quote does not verify")
        self.nonces.append(nonce)
        quoted = self.state.manifest.digest if self.state else None
        return Identity(root=self.root, trust_domain="insecure-simulation", quoted=quoted)

    def phase(self) -> Phase:
        """Tell what a real one would say."""
        self._alive()
        if self.recovering:
            return Phase.RECOVERY
        return Phase.ENFORCING if self.state else Phase.AWAITING_MANIFEST

    def enforced(self) -> Enforced | None:
        """Return the state."""
        self._alive()
        return self.state

    def submit(self, raw: bytes, pieces: Sequence[Piece], *, url: str, revision: str) -> Decision:
        """Decide as the enclave does, and keep what is applied."""
        self._alive()
        if self.before_submit is not None:
            self.before_submit()
        self.submissions.append((raw, tuple(pieces)))
        decision = decide(enforced=self.state, raw=raw, evidence=pieces)
        if decision.outcome is not Outcome.WOULD_APPLY:
            return decision
        assert decision.manifest is not None
        assert decision.floors is not None
        old = self.state
        self.state = Enforced(
            manifest=decision.manifest,
            deployment=old.deployment if old else deployment_id(self.seed, decision.digest),
            floors=decision.floors,
            attested=carry_attested(old.attested, old.manifest, decision.manifest) if old else {},
        )
        self.applied.append(self.version)
        if self.after_commit is not None:
            self.after_commit()
        return applied(decision)

    def close(self) -> None:
        """Nothing is open."""

    def _alive(self) -> None:
        if self.down:
            raise CoordinatorUnavailableError("connection refused")
