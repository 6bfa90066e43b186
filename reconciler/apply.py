"""Send one manifest with its evidence; the Coordinator decides.

Idempotent by digest: sending what is enforced answers *unchanged*, so a run that was killed between the
Coordinator's commit and our own note is simply repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval.decision import Decision
from marbleops.approval.decision import Outcome as Verdict
from marbleops.approval.reasons import Reason
from reconciler.outcome import Outcome, Step, Stop, retrying

if TYPE_CHECKING:
    from reconciler.plan import Plan
    from reconciler.ports import Coordinator
    from reconciler.validate import DesiredState

_RACE = frozenset(
    {Reason.CONFLICT, Reason.VERSION_NOT_NEXT, Reason.PREVIOUS_MISMATCH, Reason.GITOPS_NOT_ENABLED}
)
"""Refusals that mean somebody else was faster: look again before anybody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The Coordinator's word that it enforces the plan's digest."""

    desired: DesiredState
    plan: Plan
    decision: Decision


def apply(desired: DesiredState, plan: Plan, *, coordinator: Coordinator, url: str, branch: str) -> Applied:
    """Apply *plan*.

    Raises:
        Stop: *Refused* with the Coordinator's reasons, or *Retrying* where another transition came first.
        CoordinatorUnavailableError, CoordinatorUntrustedError, CoordinatorRefusedError: from the connection.
    """
    revision = f"{branch}@sha1:{desired.revision.draft.commit}"
    decision = coordinator.submit(
        desired.revision.draft.raw, desired.revision.evidence, url=url, revision=revision
    )
    if decision.digest != plan.digest:
        raise retrying(Step.APPLY, "WrongAnswer", "the Coordinator answered for another manifest")
    if decision.outcome in {Verdict.APPLIED, Verdict.UNCHANGED}:
        return Applied(desired=desired, plan=plan, decision=decision)
    reasons = [row.reason for row in decision.refusals]
    if any(reason in _RACE for reason in reasons):
        raise retrying(Step.APPLY, Reason.CONFLICT, "another change came first; looking again")
    first = decision.refusals[0] if decision.refusals else None
    reason = first.reason.value if first else Reason.NOT_EVALUATED.value
    message = decision.summary or (first.message if first else "the Coordinator gave no reason")
    raise Stop(Step.APPLY, Outcome.REFUSED, reason, message, refusals=decision.refusals)
