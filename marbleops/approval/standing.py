"""Does a candidate follow what is enforced: lineage, version, predecessor, deployment, floors, revoked keys.

The cheap half of a decision (approvals.md sections 1 and 3). Everything wrong is reported at once, with its
place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.approval.floors import NO_FLOORS, allowed_decreases, violations
from marbleops.approval.limits import MAX_FLOORS
from marbleops.approval.policy import Policy, refusal_at
from marbleops.approval.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.approval.decision import Refusal
    from marbleops.approval.enforced import Enforced
    from marbleops.manifest.model import GitOps, Manifest

_DECLARATION = ("GitOps", "AllowSecurityVersionDecrease")


def check_genesis(manifest: Manifest) -> Iterator[Refusal]:
    """List what keeps *manifest* from being the first one."""
    gitops = manifest.gitops
    if gitops is None:
        yield refusal_at(manifest, Reason.GITOPS_NOT_ENABLED, (), "the manifest has no GitOps section")
        return
    if gitops.version != 1:
        message = f"nothing is enforced yet: the first Version is 1, not {gitops.version}"
        yield refusal_at(manifest, Reason.VERSION_NOT_NEXT, ("GitOps", "Version"), message)
    if gitops.previous is not None:
        message = "the first manifest has no Previous"
        yield refusal_at(manifest, Reason.PREVIOUS_MISMATCH, ("GitOps", "Previous"), message)
    if gitops.deployment is not None:
        message = "the first manifest makes the deployment and cannot name it"
        yield refusal_at(manifest, Reason.DEPLOYMENT_MISMATCH, ("GitOps", "Deployment"), message)
    yield from _check_floors(manifest, None)


def check_succession(manifest: Manifest, enforced: Enforced) -> Iterator[Refusal]:
    """List what keeps *manifest* from being the next one after *enforced*."""
    gitops, old = manifest.gitops, enforced.manifest.gitops
    assert old is not None, "Enforced holds manifests with a GitOps section only"
    if gitops is None:
        yield refusal_at(manifest, Reason.LINEAGE_MISMATCH, (), f"drops the GitOps section of {old.lineage}")
        return
    yield from _check_names(manifest, gitops, old, enforced)
    yield from _check_floors(manifest, enforced)


def check_revoked(old: Policy, new: Policy, revoked: frozenset[str]) -> Iterator[Refusal]:
    """List keys that *new* adds although they were revoked; to go on listing one is allowed."""
    for name, user in new.users.items():
        before = old.users.get(name)
        listed = {key.blob for key in before.listed} if before else set()
        for index, key in enumerate(user.listed):
            if key.fingerprint in revoked and key.blob not in listed:
                message = f"the key {key.fingerprint} was revoked in this deployment, for ever"
                path = ("Users", name, "SigningKeys", index)
                yield refusal_at(new.manifest, Reason.KEY_REVOKED, path, message)


def _check_names(manifest: Manifest, gitops: GitOps, old: GitOps, enforced: Enforced) -> Iterator[Refusal]:
    if gitops.lineage != old.lineage:
        message = f"is of the lineage {gitops.lineage}, here {old.lineage} is enforced"
        yield refusal_at(manifest, Reason.LINEAGE_MISMATCH, ("GitOps", "Lineage"), message)
    if gitops.version != old.version + 1:
        message = (
            f"Version {old.version} is enforced: the next one is {old.version + 1}, not {gitops.version}"
        )
        yield refusal_at(manifest, Reason.VERSION_NOT_NEXT, ("GitOps", "Version"), message)
    if gitops.previous != enforced.manifest.digest:
        message = f"Previous is not the enforced manifest {enforced.manifest.digest}"
        yield refusal_at(manifest, Reason.PREVIOUS_MISMATCH, ("GitOps", "Previous"), message)
    if gitops.deployment != str(enforced.deployment):
        message = f"this deployment is {enforced.deployment}"
        yield refusal_at(manifest, Reason.DEPLOYMENT_MISMATCH, ("GitOps", "Deployment"), message)


def _check_floors(manifest: Manifest, enforced: Enforced | None) -> Iterator[Refusal]:
    """Refuse what undercuts a floor undeclared, and a declaration of what does not decrease."""
    floors, old = (enforced.floors, enforced.manifest) if enforced else (NO_FLOORS, None)
    found = {violation.package: violation for violation in violations(floors, old, manifest)}
    declared = allowed_decreases(manifest)
    for name, violation in found.items():
        if name in declared:
            continue
        offered = (
            "no SecurityVersion" if violation.offered is None else f"SecurityVersion {violation.offered}"
        )
        message = f"{offered} is below {violation.floor}, {violation.words}"
        path = ("Packages", name, "SecurityVersion")
        yield refusal_at(manifest, Reason.SECURITY_VERSION_DECREASES, path, message)
    if len(floors.names.keys() | manifest.packages.keys()) > MAX_FLOORS:
        message = f"this deployment would have known more than {MAX_FLOORS} names of packages"
        yield refusal_at(manifest, Reason.TOO_LARGE, ("Packages",), message)
    for name in sorted(declared - found.keys()):
        message = f"lists {name}, which does not decrease in this transition"
        yield refusal_at(manifest, Reason.SECURITY_VERSION_DECREASES, _DECLARATION, message)
