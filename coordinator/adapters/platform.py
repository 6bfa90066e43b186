"""What the Coordinator stands on, whichever it is: quotes, their verification, sealing keys (decision 9).

There is one for each value of EDG_COORDINATOR_PLATFORM. ``coordinator.opening`` chooses by that name alone;
nothing falls back from one to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from coordinator.adapters.sealer import SealingKeys
    from coordinator.ports import QuoteIssuer, QuoteVerifier


class Platform(Protocol):
    """One machine with this Coordinator as an enclave on it."""

    @property
    def name(self) -> str:
        """The value of EDG_COORDINATOR_PLATFORM that chooses it."""

    @property
    def marking(self) -> str | None:
        """The organization in every certificate issued on an insecure platform; None on a real one."""

    def issuer(self) -> QuoteIssuer:
        """Return the issuer of this Coordinator's quotes."""

    def quote_verifier(self) -> QuoteVerifier:
        """Return what verifies marbles' quotes, under the anchors of this platform's kind."""

    def sealing_keys(self) -> SealingKeys:
        """Return the sealing keys of this Coordinator on this machine."""

    @property
    def published_collateral(self) -> Callable[[], str] | None:
        """What gives the collateral that clients need where no vendor does; None on real hardware."""

    @property
    def collateral_lives(self) -> Callable[[datetime], Iterable[tuple[tuple[str, ...], float]]] | None:
        """What gives the metric of how long collateral lasts, where it is brought from outside."""

    def warnings(self) -> tuple[str, ...]:
        """Say what everybody should know who looks at this Coordinator's status."""
