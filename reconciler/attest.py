"""Prove, with a quote for a nonce of our own, that this digest is enforced now.

The last step of every run that ends well: what the status calls *Enforced* was shown by the enclave after the
change, not concluded from an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.outcome import Step, retrying, stalled

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.approval.enforced import Enforced
    from marbleops.manifest.digest import Digest
    from reconciler.apply import Applied
    from reconciler.ports import Coordinator
    from reconciler.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """Proof that ``digest`` is enforced by the Coordinator with this root."""

    digest: Digest
    version: int
    deployment: Digest
    root: str
    at: datetime


def attest(
    applied: Applied, *, root: str, coordinator: Coordinator, system: System
) -> tuple[Attested, Enforced]:
    """Ask the Coordinator, over a connection bound to a fresh quote, what it enforces.

    Raises:
        Stop: *Stalled* if another Coordinator answers, *Retrying* if another manifest is enforced.
        CoordinatorUnavailableError, CoordinatorUntrustedError, CoordinatorRefusedError: from the connection.
    """
    digest = applied.plan.digest
    at = system.now()
    identity = coordinator.attest(nonce=system.nonce(), at=at)
    if identity.root != root:
        raise stalled(Step.ATTEST, "CoordinatorChanged", f"root {identity.root} answers instead of {root}")
    if identity.quoted != digest:
        raise retrying(Step.ATTEST, "Superseded", f"the quote names {identity.quoted}, expected {digest}")
    enforced = coordinator.enforced()
    if enforced is None or enforced.manifest.digest != digest:
        found = enforced.manifest.digest if enforced else "nothing"
        raise retrying(Step.ATTEST, "Superseded", f"{found} is enforced, expected {digest}")
    assert enforced.manifest.gitops is not None, "Enforced has checked it"
    proof = Attested(
        digest=digest,
        version=enforced.manifest.gitops.version,
        deployment=enforced.deployment,
        root=root,
        at=at,
    )
    return proof, enforced
