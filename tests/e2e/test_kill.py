"""kill -9 at any moment: what was acknowledged stays, and the state always verifies."""

from __future__ import annotations

import contextlib
import os
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bench.mesh import commit_next, one_approver_mesh
from marbleops.attestation.anchors import Anchors
from marbleops.manifest.digest import Digest
from marbleops.wire.pins import PinStore
from marbleops.wire.rest import CoordinatorClient, CoordinatorUnreachable, Trust
from marbleops.wire.verify import verify_deployment

if TYPE_CHECKING:
    from marbleops.cli.demo.mesh import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(420)]

MOMENTS = 50
SEED = 20261123


def watch(mesh: Mesh, seconds: float) -> int:
    """Ask what is enforced again and again for *seconds*; return the highest version the Coordinator said."""
    seen = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(CoordinatorUnreachable):
            seen = max(seen, mesh.enforced()[0])
        time.sleep(0.005)
    return seen


def until_enforced(mesh: Mesh, *, version: int) -> None:
    """Wait until the Coordinator says that *version* is enforced."""
    mesh.world.until(f"version {version}", lambda: mesh.enforced()[0] == version, process=mesh.reconciler)


def check(mesh: Mesh, pins: PinStore) -> int:
    """Verify the deployment as a customer who remembers, and return the enforced version."""
    client = CoordinatorClient(mesh.here.client)
    try:
        found = verify_deployment(
            client,
            Trust(
                anchors=Anchors.simulation((mesh.simulation / "anchor.der").read_bytes()),
                reference=None,
                pinned_root=None,
                collateral=None,
            ),
            pins,
            expect_deployment=Digest.parse(mesh.deployment),
            nonce=os.urandom(32),
            at=datetime.now(UTC),
        )
    finally:
        client.close()
    assert found.version is not None
    assert [record.version for record in found.records] == list(range(1, found.version + 1)), (
        "a version twice, or missing"
    )
    return found.version


def test_nothing_acknowledged_is_lost_at_50_random_moments() -> None:
    """Push, kill one of the two or both, restart: never older, always verifiable, always goes on."""
    random_moment = random.Random(SEED)
    with one_approver_mesh() as mesh:
        pins = PinStore(mesh.world.root / "home" / "kill-pins.json")
        version = check(mesh, pins)
        for moment in range(MOMENTS):
            commit_next(mesh, f"moment {moment}")
            mesh.people["alice"].push()
            acknowledged = max(version, watch(mesh, random_moment.uniform(0, 0.25)))
            victims = random_moment.choice(["coordinator", "reconciler", "both"])
            here = mesh.here
            if victims != "reconciler":
                here.process.kill()
            if victims != "coordinator":
                assert mesh.reconciler is not None
                mesh.reconciler.kill()
            if victims != "reconciler":
                mesh.coordinator = mesh.launch_coordinator(address=here)
            assert mesh.here.root == here.root

            assert check(mesh, pins) >= acknowledged, (
                f"moment {moment} ({victims}): an acknowledged version was lost"
            )

            if victims != "coordinator":
                mesh.launch_reconciler()
            wanted = version + 1
            until_enforced(mesh, version=wanted)
            version = check(mesh, pins)
