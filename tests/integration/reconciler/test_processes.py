"""The whole path with real processes: git push, reconciler, Coordinator over TLS; killed and resumed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.coordinator_process import ROOT, CoordinatorProcess
from tests.fakes.git import Team, clean_environment
from tests.integration.reconciler.conftest import config
from tests.integration.reconciler.test_flows import GREEN, RED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

_RUN = """
import sys, pathlib, reconciler.main
sys.exit(reconciler.main.run(pathlib.Path(sys.argv[1]), once=len(sys.argv) > 2))
"""


@dataclass
class Mesh:
    """One repository, one Coordinator, one reconciler."""

    team: Team
    folder: Path
    coordinator: CoordinatorProcess
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def configure(self, **settings: Any) -> Path:
        """Write the configuration for the Coordinator as it listens now."""
        file = config(
            self.folder,
            interval="1s",
            coordinator={
                "address": f"127.0.0.1:{self.coordinator.client_port}",
                "platform": {"kind": "simulation", "anchor": str(self.coordinator.simulation / "anchor.der")},
            },
        )
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        return file

    def start(self, *extra: str) -> subprocess.Popen[bytes]:
        """Start the reconciler."""
        with (self.folder / "reconciler.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _RUN, str(self.folder / "reconciler.json"), *extra],
                cwd=ROOT,
                env=clean_environment(self.team.home),
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def once(self) -> int:
        """Run the reconciler once; returns its exit code."""
        return self.start("once").wait(timeout=60)

    def status(self) -> dict[str, Any]:
        """Read the status; empty before the first."""
        try:
            document: dict[str, Any] = json.loads((self.folder / "state/prod/status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return document

    def until(self, condition: Callable[[dict[str, Any]], bool], *, seconds: float = 20.0) -> float:
        """Wait for a status; returns how long it took."""
        started = time.monotonic()
        while not condition(self.status()):
            assert time.monotonic() - started < seconds, (self.status(), self.log)
            time.sleep(0.005)
        return time.monotonic() - started

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Wait until *condition* holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.005)

    @property
    def log(self) -> str:
        """What the reconciler logged."""
        return (self.folder / "reconciler.log").read_text()

    def genesis(self) -> bytes:
        """Push a first manifest with everything it needs."""
        raw = self.team.manifest()
        self.team.write(raw)
        self.team.commit("genesis", by="alice", approve=raw)
        for name in self.team.people:
            self.team.prove(name)
        self.team.tag(raw, by="bob", version=1)
        self.team.push()
        return raw

    def next(self, previous: bytes, *, push: bool = True, **changes: Any) -> bytes:
        """Push the next manifest, approved by alice and bob."""
        version = json.loads(previous)["GitOps"]["Version"] + 1
        deployment = self.coordinator.get("gitops/policy").data["deployment"]
        raw = self.team.manifest(
            version=version, previous=previous, GitOps={"Deployment": deployment}, **changes
        )
        self.team.write(raw)
        self.team.commit(f"version {version}", by="alice", approve=raw)
        self.team.tag(raw, by="bob", version=version, push=False)
        if push:
            self.team.push("HEAD:refs/heads/main", "refs/tags/*:refs/tags/*")
        return raw


def enforced(version: int) -> Callable[[dict[str, Any]], bool]:
    """Wait for a version."""
    return lambda status: status.get("outcome") == "Enforced" and status["enforced"]["version"] == version


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Start a Coordinator that waits for its first manifest, beside an empty repository."""
    team = Team.make(tmp_path, "alice", "bob")
    directory = tmp_path / "coordinator"
    directory.mkdir()
    made = Mesh(team=team, folder=tmp_path, coordinator=CoordinatorProcess(directory).start())
    made.configure()
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    made.coordinator.close()


def test_once_applies_the_first_manifest(mesh: Mesh) -> None:
    """``run --once`` against a real Coordinator: enforced, proved, and nothing to do the second time."""
    raw = mesh.genesis()
    assert mesh.once() == 0, mesh.log
    assert mesh.coordinator.get("manifest").data["manifest"] is not None
    status = mesh.status()
    assert status["enforced"]["version"] == 1
    assert status["coordinator"]["simulation"] is True
    assert mesh.coordinator.get("gitops/policy").data["digest"] == status["enforced"]["digest"]
    assert mesh.once() == 0
    mesh.team.write(raw.replace(b"blue", b"pink"))
    mesh.team.commit("not approved", by="alice", sign=False)
    mesh.team.push()
    assert mesh.once() == 3


def test_push_wakes_up_at_once(mesh: Mesh) -> None:
    """A push to a local repository is enforced at once although the interval is an hour; SIGTERM ends it."""
    file = mesh.configure(health="127.0.0.1:0", readyFile=str(mesh.folder / "ready.json"))
    document = json.loads(file.read_text())
    document["targets"][0]["interval"] = "1h"
    file.write_text(json.dumps(document))
    raw = mesh.genesis()
    process = mesh.start()
    mesh.until(enforced(1))
    url = json.loads((mesh.folder / "ready.json").read_text())["health"]
    assert _ready(f"{url}/readyz")["targets"]["prod"]["version"] == 1
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{url}/manifest", timeout=5)
    mesh.next(raw, Marbles=GREEN)
    took = mesh.until(enforced(2))
    assert took < 5, took
    print(f"push to enforced: {took * 1000:.0f} ms")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    lines = [json.loads(line) for line in mesh.log.splitlines()]
    assert [line["event"] for line in lines if line.get("version") == 2] == ["attest"]


def _ready(url: str) -> Any:
    """Wait for readiness, which follows the status on the disk, and return what it says."""
    for _ in range(250):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.02)
    raise AssertionError("it never became ready")


def test_coordinator_killed_and_restarted(mesh: Mesh) -> None:
    """Pushed while the Coordinator is dead: retried, and applied once it is back with its state."""
    raw = mesh.genesis()
    mesh.start()
    mesh.until(enforced(1))
    port = mesh.coordinator.client_port
    raw = mesh.next(raw, push=False, Marbles=GREEN)
    mesh.coordinator.kill()
    mesh.team.push("HEAD:refs/heads/main", "refs/tags/*:refs/tags/*")
    mesh.until(lambda status: status["outcome"] == "Retrying")
    mesh.coordinator.start(EDG_COORDINATOR_CLIENT_ADDR=f"127.0.0.1:{port}")
    mesh.until(enforced(2))


def test_killed_at_random_moments(mesh: Mesh) -> None:
    """``kill -9`` while versions are pushed: each is applied once, in order, and the status is whole."""
    rng = random.Random(7)
    raw = mesh.genesis()
    mesh.start()
    mesh.until(enforced(1))
    for number in range(2, 7):
        raw = mesh.next(raw, Marbles=GREEN if number % 2 else RED)
        time.sleep(rng.random() * 0.4)
        mesh.processes[-1].kill()
        mesh.processes[-1].wait()
        mesh.start()
        if number % 3 == 0:
            mesh.until(enforced(number))
    mesh.until(enforced(6))
    records = mesh.coordinator.get("gitops/history?from=0").data["records"]
    assert len(records) == 6
    assert not list((mesh.folder / "state/prod").glob(".*.new")) or mesh.status()["outcome"] == "Enforced"


def test_second_reconciler_on_the_same_folder(mesh: Mesh) -> None:
    """Two processes never share a state folder."""
    mesh.genesis()
    mesh.start()
    mesh.until(enforced(1))
    assert mesh.once() == 1
    assert "another reconciler" in mesh.log


def test_damaged_cache_is_fetched_again(mesh: Mesh) -> None:
    """A cache with locks left behind and objects gone is thrown away and filled again."""
    raw = mesh.genesis()
    assert mesh.once() == 0
    cache = mesh.folder / "state/prod/cache.git"
    (cache / "refs/heads/main.lock").touch()
    for pack in cache.glob("objects/pack/*"):
        pack.chmod(0o600)
        pack.write_bytes(b"damaged")
    mesh.next(raw, Marbles=GREEN)
    codes = [mesh.once() for _ in range(2)]
    assert codes[-1] == 0, (codes, mesh.log)
    assert mesh.status()["enforced"]["version"] == 2


def test_two_reconcilers_race(mesh: Mesh) -> None:
    """Two processes with folders of their own watch one repository: every version is applied once."""
    raw = mesh.genesis()
    first = json.loads((mesh.folder / "reconciler.json").read_text())
    (mesh.folder / "reconciler.json").write_text(json.dumps(first | {"stateDir": str(mesh.folder / "other")}))
    mesh.start()
    other = mesh.folder / "other/prod/status.json"
    mesh.wait_for(other.exists)
    (mesh.folder / "reconciler.json").write_text(json.dumps(first))
    mesh.start()
    mesh.until(enforced(1))
    for number in range(2, 6):
        raw = mesh.next(raw, Marbles=GREEN if number % 2 else RED)
        mesh.until(enforced(number))
        arrived = enforced(number)
        mesh.wait_for(lambda arrived=arrived: arrived(json.loads(other.read_bytes())))  # type: ignore[misc]
    records = mesh.coordinator.get("gitops/history?from=0").data["records"]
    assert len(records) == 5
