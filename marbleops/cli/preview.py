"""Predict what the Coordinator will say to a manifest, with the Coordinator's own decision code.

Used by ``plan``, ``approve`` and the commit hook. What an offline clone cannot know is assumed and listed in
``assumptions``: nothing is hidden from the person who signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from marbleops.approval.decide import decide
from marbleops.approval.decision import ChangeClass, Decision, Refusal, decision_to_json
from marbleops.approval.enforced import Enforced
from marbleops.approval.floors import (
    NO_FLOORS,
    advance,
    attested_from_json,
    attested_to_json,
    floors_from_json,
    floors_to_json,
    identity_of,
)
from marbleops.cli.base import find_previous
from marbleops.cli.enforced import ATTESTED, Known, recall
from marbleops.cli.waiting import WAITING_REASONS
from marbleops.manifest.digest import Digest
from marbleops.manifest.position import format_path
from reconciler.plan import Plan, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marbleops.approval.evidence import Piece
    from marbleops.cli.git import Repository
    from marbleops.manifest.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the change is compared with: the bytes that ``Previous`` names, and how sure that is."""

    enforced: Enforced | None
    checked: bool
    attested_known: bool
    assumptions: tuple[str, ...]

    @property
    def manifest(self) -> Manifest | None:
        """The manifest that is replaced; None for a first one."""
        return self.enforced.manifest if self.enforced is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A candidate beside its base: the predicted decision, and the reconciler's plan made of it."""

    manifest: Manifest
    basis: Basis
    decision: Decision
    plan: Plan

    @property
    def is_bump(self) -> bool:
        """Tell whether the change only raises SecurityVersions."""
        return self.decision.change_class is ChangeClass.PACKAGE_BUMP

    def document(self) -> dict[str, Any]:
        """Return the JSON form; the keys are stable."""
        return {
            "digest": str(self.manifest.digest),
            "base": str(self.plan.base) if self.plan.base is not None else None,
            "checked": self.basis.checked,
            "assumptions": list(self.basis.assumptions),
            "edits": [
                {"path": format_path(edit.path), "kind": str(edit.kind), "old": edit.old, "new": edit.new}
                for edit in self.plan.edits
            ],
            "decision": decision_to_json(self.decision),
            "rotates": list(self.plan.rotates),
            "restarts": list(self.plan.restarts),
            "refusedAtRestart": list(self.plan.refused_at_restart),
        }


def offline_basis(repository: Repository, path: str, manifest: Manifest) -> Basis:
    """Take the base from this clone, by content.

    Raises:
        UsageProblem: this clone does not hold the bytes that ``Previous`` names.
    """
    base = find_previous(repository, path, manifest)
    if base is None:
        return Basis(enforced=None, checked=False, attested_known=True, assumptions=())
    known = recall(repository, path)
    if (
        known is not None
        and known.digest == base.digest
        and known.how == ATTESTED
        and known.policy is not None
    ):
        enforced = _from_policy(base, known.policy)
        assumption = (
            "floors and attested versions are as this clone last saw them from an attested Coordinator"
        )
        return Basis(enforced=enforced, checked=False, attested_known=True, assumptions=(assumption,))
    return Basis(
        enforced=_assumed(base, manifest),
        checked=False,
        attested_known=False,
        assumptions=(
            "every SecurityVersion it raises to has already been attested by a running marble",
            "no floor is higher than the replaced manifest says, and no key is revoked",
        ),
    )


def online_basis(enforced: Enforced | None) -> Basis:
    """Take the base from an attested Coordinator's answer."""
    return Basis(enforced=enforced, checked=True, attested_known=True, assumptions=())


def hopeless(decision: Decision) -> tuple[Refusal, ...]:
    """Return the refusals that no number of approvals can heal."""
    return tuple(row for row in decision.refusals if row.reason not in WAITING_REASONS)


def known_from(enforced: Enforced, path: str) -> Known:
    """Return what a clone keeps of an attested answer."""
    gitops = enforced.manifest.gitops
    assert gitops is not None, "Enforced checks it"
    return Known(
        path=path,
        digest=enforced.manifest.digest,
        version=gitops.version,
        deployment=str(enforced.deployment),
        how=ATTESTED,
        policy={
            "deployment": str(enforced.deployment),
            "floors": floors_to_json(enforced.floors),
            "attested": attested_to_json(enforced.attested),
            "revoked": sorted(enforced.revoked),
        },
    )


def preview(manifest: Manifest, basis: Basis, evidence: Sequence[Piece]) -> Preview:
    """Compare *manifest* with its base and predict the decision over *evidence*."""
    decision = decide(enforced=basis.enforced, raw=manifest.raw, evidence=evidence)
    plan = make_plan(base=basis.manifest, candidate=manifest, decision=decision)
    return Preview(manifest=manifest, basis=basis, decision=decision, plan=plan)


def _from_policy(base: Manifest, policy: dict[str, Any]) -> Enforced:
    return Enforced(
        manifest=base,
        deployment=Digest.parse(policy["deployment"]),
        floors=floors_from_json(policy["floors"]),
        attested=attested_from_json(policy["attested"]),
        revoked=frozenset(policy["revoked"]),
    )


def _assumed(base: Manifest, candidate: Manifest) -> Enforced:
    """Build a starting point from the two manifests alone; the caller lists what that assumes."""
    gitops, section = base.gitops, candidate.gitops
    claimed = (gitops.deployment if gitops else None) or (section.deployment if section else None)
    attested: dict[tuple[str, str, int], int] = {}
    for name, package in candidate.packages.items():
        identity = identity_of(package)
        if identity is not None and package.security_version is not None:
            attested[(name, *identity)] = package.security_version
    return Enforced(
        manifest=base,
        deployment=_digest_or_zero(claimed),
        floors=advance(NO_FLOORS, None, base),
        attested=MappingProxyType(attested),
    )


def _digest_or_zero(text: str | None) -> Digest:
    """Return an id that no deployment has for a missing one, so that the decision names the mismatch."""
    try:
        return Digest.parse(text or "")
    except ValueError:
        return Digest(bytes(32))
