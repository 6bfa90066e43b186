"""Two reconcilers on one repository: each version is applied once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from bench.mesh import commit_next, one_approver_mesh

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.demo.mesh import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

VERSIONS = 10


def until_enforced(mesh: Mesh, digest: str) -> None:
    """Wait until the Coordinator says that *digest* is enforced."""
    mesh.world.until("it to be enforced", lambda: mesh.enforced()[1] == digest)


def until_reported(mesh: Mesh, status: Path, commit: str) -> None:
    """Wait until a reconciler reports *commit* as enforced."""

    def reported() -> bool:
        found = mesh.world.read_json(status) or {}
        return (found.get("candidates", {}).get(commit) or {}).get("outcome") == "Enforced"

    mesh.world.until(f"{status} to say so", reported)


def test_two_reconcilers_apply_each_version_once() -> None:
    """Both see every push at once; the history has each version exactly once and both report it enforced."""
    with one_approver_mesh() as mesh:
        config = json.loads(mesh.config.read_text())
        config["stateDir"] = str(mesh.world.root / "state-2")
        config["readyFile"] = str(mesh.world.root / "reconciler-2.ready")
        second = mesh.world.root / "reconciler-2.json"
        second.write_text(json.dumps(config))
        rival = mesh.world.start(
            "reconciler-2", [sys.executable, "-m", "marbleops", "reconciler", "run", "--config", str(second)]
        )
        mesh.world.until(
            "the second reconciler", (mesh.world.root / "reconciler-2.ready").exists, process=rival
        )

        commit = ""
        for number in range(VERSIONS):
            commit, digest = commit_next(mesh, f"race {number}")
            mesh.people["alice"].push()
            until_enforced(mesh, digest)

        client = mesh.attested()
        try:
            answer = client.history()
        finally:
            client.close()
        assert len(answer.records) == VERSIONS + 1
        for state in ("state", "state-2"):
            until_reported(mesh, mesh.world.root / state / "shop" / "status.json", commit)
