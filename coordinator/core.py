"""What all use cases share: the guarded state, the ports, and the turn that deciding takes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coordinator.domain.access import find_user, users_of
from coordinator.domain.making import Making
from coordinator.domain.ownership import Rules, needs_new_key
from coordinator.domain.recovery import generate
from coordinator.errors import ManifestNotSetError, WrongPhaseError
from coordinator.ports import Unobserved
from marbleops.attestation.binding import coordinator_report_data, coordinator_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coordinator.domain.access import User
    from coordinator.domain.recovery import KeyChange
    from coordinator.domain.state import Enforcement, State
    from coordinator.guard import Guard
    from coordinator.ports import Clock, Entropy, Observer, QuoteIssuer, QuoteVerifier
    from marbleops.manifest.digest import Digest
    from marbleops.manifest.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the start configuration decides for good."""

    platform: str
    warnings: tuple[str, ...] = ()
    genesis_digest: Digest | None = None
    accept_empty_quotes: bool = False
    rules: Rules = field(default_factory=Rules)
    collateral: Callable[[], str] | None = None
    """Collateral of a simulated platform, for clients; None on a real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world, as the use cases see it."""

    issuer: QuoteIssuer
    verifier: QuoteVerifier
    clock: Clock
    entropy: Entropy
    observer: Observer = field(default_factory=Unobserved)


class Core:
    """The state and the world. ``deciding`` is held by whoever decides on a change."""

    def __init__(self, guard: Guard, ports: Ports, options: Options) -> None:
        self.guard = guard
        self.ports = ports
        self.options = options
        self.deciding = threading.RLock()
        self._quote: tuple[bytes, bytes] | None = None
        self._users: tuple[Manifest, tuple[User, ...]] | None = None

    def snapshot(self) -> State:
        """Return the current state; a request that needs several values takes one snapshot."""
        return self.guard.current

    def enforcement(self) -> Enforcement:
        """Return what is enforced.

        Raises:
            ManifestNotSetError: nothing is.
        """
        enforcement = self.snapshot().enforcement
        if enforcement is None:
            raise ManifestNotSetError
        return enforcement

    def running(self) -> State:
        """Return a snapshot in which something is enforced.

        Raises:
            WrongPhaseError: nothing is.
        """
        state = self.snapshot()
        if state.enforcement is None:
            raise WrongPhaseError
        return state

    def making(self) -> Making:
        """Return the time and randomness for one change."""
        return Making(at=self.ports.clock.now(), random=self.ports.entropy.bytes)

    def keys(self, old: Manifest | None, new: Manifest) -> KeyChange | None:
        """Make the data key that *new* comes with, for its recovery holders; None keeps the key of *old*.

        Raises:
            ManifestRefusedError: a recovery key of the manifest cannot be used.
        """
        if old is not None and not needs_new_key(old, new):
            return None
        return generate(new.recovery_keys, new.config.recovery_threshold, random=self.ports.entropy.bytes)

    def user(self, state: State, presented: Sequence[bytes]) -> User:
        """Find the user who presents one of these certificates.

        Raises:
            UserUnauthenticatedError: there is none.
        """
        if state.enforcement is None:
            return find_user((), presented)
        manifest = state.enforcement.manifest
        known = self._users
        if known is None or known[0] is not manifest:
            known = self._users = (manifest, users_of(manifest))
        return find_user(known[1], presented)

    def quote(self, state: State, nonce: bytes | None) -> bytes:
        """Return a quote over the state's root certificate and what is enforced (10.2, ADR 8).

        Without a nonce it is the one made for this state.
        """
        root = state.authorities.root.certificate_der
        enforced = None if state.enforcement is None else state.enforcement.manifest.digest.value
        standing = coordinator_state(int(state.phase), enforced)
        if nonce is not None:
            return self.ports.issuer.quote(coordinator_report_data(root, nonce) + standing)
        report_data = coordinator_report_data(root) + standing
        known = self._quote
        if known is None or known[0] != report_data:
            known = self._quote = (report_data, self.ports.issuer.quote(report_data))
        return known[1]
