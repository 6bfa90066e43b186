"""Random candidates and random signers, one after another: what must never happen does not.

A model remembers the highest SecurityVersion per package and who has to agree, and judges every accepted
transition by arithmetic of its own.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conformance import gitsmith, scenario
from marbleops.approval.decide import decide
from marbleops.approval.decision import ChangeClass, Decision, Outcome
from marbleops.approval.enforced import Enforced
from marbleops.approval.floors import carry_attested
from marbleops.approval.policy import read_policy

if TYPE_CHECKING:
    from marbleops.approval.evidence import Piece

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
SIGNERS = st.frozensets(st.sampled_from(PEOPLE))
PACKAGES = ("backend", "frontend")


class Deployment(RuleBasedStateMachine):
    """A deployment under a stream of proposals."""

    enforced: Enforced
    document: dict[str, Any]

    @initialize()
    def genesis(self) -> None:
        """Start with three approvers of whom two are needed, and a quorum."""
        document = scenario.base()
        document["Users"]["alice"]["Roles"].append("security")
        document["Users"]["bob"]["Roles"].append("security")
        document["GitOps"]["Quorum"] = {"security": 1}
        raw = scenario.raw(document)
        evidence = scenario.genesis_evidence(raw, ("alice", "bob"), ("carol", "dave"))
        self._take(document, decide(enforced=None, raw=raw, evidence=evidence), must=True)

    @rule(
        package=st.sampled_from(PACKAGES), version=st.integers(0, 9), signers=SIGNERS, declared=st.booleans()
    )
    def repin(self, package: str, version: int, signers: frozenset[str], *, declared: bool) -> None:
        """Propose another SecurityVersion, up or down."""
        document = self._next()
        document["Packages"][package]["SecurityVersion"] = version
        if declared:
            document["GitOps"]["AllowSecurityVersionDecrease"] = [package]
        self._propose(document, signers)

    @rule(threshold=st.integers(1, 4), written=st.integers(0, 4), signers=SIGNERS)
    def rethreshold(self, threshold: int, written: int, signers: frozenset[str]) -> None:
        """Propose other thresholds."""
        document = self._next()
        document["Config"]["UpdateThreshold"] = threshold
        document["GitOps"]["WeakenThreshold"] = written
        self._propose(document, signers)

    @rule(name=st.sampled_from(PEOPLE), approver=st.booleans(), signers=SIGNERS)
    def reseat(self, name: str, signers: frozenset[str], *, approver: bool) -> None:
        """Propose to add or remove somebody."""
        document = self._next()
        document["Users"].pop(name, None)
        if approver:
            document["Users"][name] = scenario.user(name, "updater", "security")
        self._propose(document, signers)

    @rule(unseat=st.booleans(), signers=SIGNERS)
    def requorum(self, signers: frozenset[str], *, unseat: bool) -> None:
        """Propose a quorum or none."""
        document = self._next()
        document["GitOps"]["Quorum"] = {} if unseat else {"security": 1}
        self._propose(document, signers)

    @rule(version=st.integers(0, 9), package=st.sampled_from(PACKAGES))
    def attest(self, version: int, package: str) -> None:
        """Let a build run, which is what bumps may reach."""
        pinned = self.enforced.manifest.packages[package]
        if pinned.signer_id is not None and pinned.product_id is not None:
            build = (package, pinned.signer_id, pinned.product_id)
            self._set(
                attested={**self.enforced.attested, build: max(version, self.enforced.attested.get(build, 0))}
            )

    @invariant()
    def pins_stand_at_their_floors(self) -> None:
        """Check that nothing enforced is below what is remembered."""
        if not hasattr(self, "enforced"):
            return
        for name, floor in self.enforced.floors.names.items():
            pinned = self.enforced.manifest.packages[name].security_version
            assert pinned is not None
            assert pinned >= floor

    def _next(self) -> dict[str, Any]:
        document = copy.deepcopy(self.document)
        document["GitOps"].pop("AllowSecurityVersionDecrease", None)
        document["GitOps"] |= {
            "Version": document["GitOps"]["Version"] + 1,
            "Previous": str(self.enforced.manifest.digest),
            "Deployment": str(self.enforced.deployment),
        }
        return document

    def _propose(self, document: dict[str, Any], signers: frozenset[str]) -> None:
        raw = scenario.raw(document)
        evidence: list[Piece] = [scenario.approve(raw, name) for name in sorted(signers)]
        evidence += [scenario.prove(name) for name in document["Users"]]
        decision = decide(enforced=self.enforced, raw=raw, evidence=evidence)
        if decision.outcome is Outcome.WOULD_APPLY:
            self._check(decision, signers)
        self._take(document, decision)

    def _check(self, decision: Decision, signers: frozenset[str]) -> None:
        policy = read_policy(self.enforced.manifest)
        voters = {counted.user for counted in decision.approvals}
        assert voters
        assert voters <= signers
        assert all(
            gitsmith.key(counted.user).fingerprint == counted.fingerprint for counted in decision.approvals
        )
        agreed = voters & policy.approvers
        if decision.change_class is ChangeClass.PACKAGE_BUMP:
            assert len(agreed) >= policy.update_threshold or voters & policy.bumpers("backend")
        else:
            assert len(agreed) >= policy.update_threshold
        replaced = decision.requirements[0].words.startswith("all approvers but")
        if decision.change_class is not ChangeClass.PACKAGE_BUMP and policy.quorum and not replaced:
            assert any("security" in policy.users[name].roles for name in agreed)
        if decision.change_class is ChangeClass.WEAKENING:
            assert len(agreed) >= policy.weaken_quorum or replaced
        assert decision.floors is not None
        fallen = {
            name for name, floor in self.enforced.floors.names.items() if decision.floors.names[name] < floor
        }
        assert not fallen or decision.change_class is ChangeClass.WEAKENING

    def _take(self, document: dict[str, Any], decision: Decision, *, must: bool = False) -> None:
        if decision.outcome is not Outcome.WOULD_APPLY:
            assert not must, decision.summary
            return
        assert decision.manifest is not None
        assert decision.floors is not None
        before = getattr(self, "enforced", None)
        attested = carry_attested(before.attested, before.manifest, decision.manifest) if before else {}
        self.document = document
        self.enforced = Enforced(
            manifest=decision.manifest,
            deployment=scenario.stage().deployment,
            floors=decision.floors,
            attested=attested,
        )

    def _set(self, *, attested: dict[tuple[str, str, int], int]) -> None:
        now = self.enforced
        self.enforced = Enforced(
            manifest=now.manifest, deployment=now.deployment, floors=now.floors, attested=attested
        )


Deployment.TestCase.settings = settings(max_examples=6, stateful_step_count=8, deadline=None)
TestDeployment = Deployment.TestCase
