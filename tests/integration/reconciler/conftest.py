"""A team with a repository, a Coordinator in memory, and a reconciler's target between them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.loop import Worker
from reconciler.pipeline import reconcile
from reconciler.settings import Target, read_settings
from reconciler.status import Report, write_status
from reconciler.system import System
from tests.fakes.coordinator import FakeCoordinator
from tests.fakes.git import PATH, Team

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class FakeClock:
    """A clock that moves a second at each look; random bytes that never repeat."""

    seconds: float = 0.0

    def system(self) -> System:
        """Make the reconciler's system."""
        return System(now=self._now, monotonic=self._monotonic, entropy=self._entropy)

    def _monotonic(self) -> float:
        self.seconds += 1
        return self.seconds

    def _now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self._monotonic(), UTC)

    def _entropy(self, size: int) -> bytes:
        return int(self._monotonic()).to_bytes(size, "big")


@dataclass
class Desk:
    """Everything one test needs."""

    team: Team
    coordinator: FakeCoordinator
    target: Target
    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def reconcile(self) -> Report:
        """Run once and write the status, as the loop does."""
        report = reconcile(
            self.target, coordinator=self.coordinator, system=self.clock.system(), note=lambda *_, **__: None
        )
        self.target.folder.mkdir(parents=True, exist_ok=True)
        write_status(self.target.status_file, report)
        return report

    def status(self) -> dict[str, Any]:
        """Read the status file."""
        document: dict[str, Any] = json.loads(self.target.status_file.read_bytes())
        return document

    def worker(self) -> Worker:
        """Make the loop's worker for the target."""
        return Worker(target=self.target, coordinator=self.coordinator)

    def genesis(self, **changes: Any) -> bytes:
        """Enforce a first manifest, approved by alice and bob."""
        raw = self.team.manifest(**changes)
        self.team.write(raw)
        self.team.commit("genesis", by="alice", approve=raw)
        for name in json.loads(raw)["Users"]:
            self.team.prove(name)
        self.team.push()
        self.team.tag(raw, by="bob", version=1)
        report = self.reconcile()
        assert report.outcome.value == "Enforced", (report.reason, report.message, report.decision)
        return raw

    def next(self, previous: bytes, **changes: Any) -> bytes:
        """Write the manifest after *previous*, unapproved."""
        document = json.loads(previous)
        version = document["GitOps"]["Version"] + 1
        assert self.coordinator.state is not None
        gitops = {"Deployment": str(self.coordinator.state.deployment)} | changes.pop("GitOps", {})
        return self.team.manifest(version=version, previous=previous, GitOps=gitops, **changes)


def config(folder: Path, **target: Any) -> Path:
    """Write a configuration with one target."""
    anchor = folder / "anchor.der"
    anchor.touch()
    entry: dict[str, Any] = {
        "name": "prod",
        "repository": {"url": str(folder / "repository.git")},
        "path": PATH,
        "interval": "10s",
        "coordinator": {
            "address": "127.0.0.1:4433",
            "platform": {"kind": "simulation", "anchor": str(anchor)},
        },
    }
    file = folder / "reconciler.json"
    file.write_text(json.dumps({"stateDir": str(folder / "state"), "targets": [entry | target]}))
    return file


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Alice, bob and carol, an empty repository, a fresh Coordinator."""
    team = Team.make(tmp_path, "alice", "bob", "carol")
    settings = read_settings(config(tmp_path))
    return Desk(team=team, coordinator=FakeCoordinator(), target=settings.targets[0], folder=tmp_path)
