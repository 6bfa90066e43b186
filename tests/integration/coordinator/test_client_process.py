"""The project's own client against a real process: attest, verify, update, evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.approval.decision import ChangeClass, Outcome
from marbleops.approval.reasons import Reason
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.manifest.digest import Digest
from marbleops.wire.attest import Trust, UntrustedCoordinator
from marbleops.wire.rest import CoordinatorClient
from marbleops.wire.verify import verify_deployment
from tests.fakes import shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = pytest.mark.integration

NONCE = bytes(range(32))


def test_client_attests_updates_and_verifies(coordinator: CoordinatorProcess) -> None:
    """From a fresh quote to the people who approved, over the attested connection only."""
    coordinator.start()
    first = shop.manifest(change=_public_evidence)
    with CoordinatorClient(f"127.0.0.1:{coordinator.client_port}") as client:
        client.attest(_trust(coordinator.simulation), nonce=NONCE, at=datetime.now(UTC))
        assert client.enforced() is None
        decision = client.update(first, shop.genesis_evidence(first), dry_run=False)
        assert (decision.outcome, decision.change_class) == (Outcome.APPLIED, ChangeClass.GENESIS)
        enforced = client.enforced()
        assert enforced is not None
        assert enforced.deployment == coordinator.deployment()
        assert enforced.manifest.raw == first
        second = shop.manifest(2, previous=first, deployment=enforced.deployment)
        refused = client.update(second, (), dry_run=True)
        assert [refusal.reason for refusal in refused.refusals] == [Reason.THRESHOLD_NOT_MET]
        assert client.update(second, shop.approvals(second, "alice", "bob"), dry_run=False).version == 2
        verified = verify_deployment(
            client,
            _trust(coordinator.simulation),
            None,
            expect_deployment=enforced.deployment,
            nonce=NONCE,
            at=datetime.now(UTC),
        )
        assert (verified.version, verified.digest, verified.pinned) == (2, Digest.of(second), True)
        assert sorted(approval.user for approval in verified.approvals) == ["alice", "bob"]
        (digest, *_) = verified.records[-1].evidence
        assert client.evidence(digest) is not None


def test_another_machine_is_untrusted(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    """A client that trusts another simulated machine refuses this Coordinator."""
    coordinator.start()
    SimulationPlatform.create(tmp_path / "other", at=datetime.now(UTC))
    with (
        CoordinatorClient(f"127.0.0.1:{coordinator.client_port}") as client,
        pytest.raises(UntrustedCoordinator),
    ):
        client.attest(_trust(tmp_path / "other"), nonce=NONCE, at=datetime.now(UTC))


def _public_evidence(made: dict[str, Any]) -> None:
    made["GitOps"]["PublicEvidence"] = True


def _trust(directory: Path) -> Trust:
    return Trust(anchors=SimulationPlatform.open(directory).anchors())
