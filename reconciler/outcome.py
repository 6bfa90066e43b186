"""How a reconcile can end, and the exception that ends one early.

Waiting for approvals is not a failure. *Retrying* may heal by itself; *Stalled* needs a person.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marbleops.approval.decision import Refusal


class Outcome(StrEnum):
    """The word in status, log and exit code."""

    ENFORCED = "Enforced"
    """The manifest at the tip is enforced, proved by a fresh quote."""
    WAITING = "Waiting"
    """Somebody approved, and more approvals are needed."""
    REFUSED = "Refused"
    """Something is wrong with it, or nobody the manifest names approved it; what is enforced stays."""
    RETRYING = "Retrying"
    """A failure that may heal: network, a Coordinator that restarts."""
    STALLED = "Stalled"
    """A failure that a person must look at."""
    SUPERSEDED = "Superseded"
    """Another manifest with the same ``Previous`` is nearer to the tip."""


class Step(StrEnum):
    """The seven words of the path (architecture.md section 2)."""

    FETCH = "fetch"
    VERIFY = "verify"
    VALIDATE = "validate"
    PLAN = "plan"
    APPLY = "apply"
    ATTEST = "attest"
    STATUS = "status"


class Stop(Exception):  # noqa: N818  an end, and *Waiting* is not an error
    """Ends a reconcile: at which step, how, and why.

    ``reason`` is a word of ``approval.reasons`` or a CamelCase condition such as ``CoordinatorChanged``.
    """

    def __init__(
        self,
        step: Step,
        outcome: Outcome,
        reason: str,
        message: str,
        *,
        refusals: tuple[Refusal, ...] = (),
    ) -> None:
        super().__init__(message)
        self.step = step
        self.outcome = outcome
        self.reason = reason
        self.message = message
        self.refusals = refusals


def stalled(step: Step, reason: str, message: str) -> Stop:
    """Make the stop of something a person must look at."""
    return Stop(step, Outcome.STALLED, reason, message)


def retrying(step: Step, reason: str, message: str) -> Stop:
    """Make the stop of something that may heal."""
    return Stop(step, Outcome.RETRYING, reason, message)
