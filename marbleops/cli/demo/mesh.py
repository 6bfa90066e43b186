"""The systems of the demo: repository, simulation platform, Coordinator, reconciler, marbles."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marbleops.cli.demo.narrator import NotAsToldError, expect
from marbleops.cli.demo.people import MANIFEST_PATH, Person, tool

if TYPE_CHECKING:
    from marbleops.cli.demo.world import Process, Result, World

TARGET = "shop"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "gitops-repo"


@dataclass(slots=True)
class Coordinator:
    """A Coordinator process and where it listens."""

    process: Process
    mesh: str
    client: str
    root: str


@dataclass(slots=True)
class Mesh:
    """Everything that runs, and the people around it."""

    world: World
    people: dict[str, Person] = field(default_factory=dict)
    coordinator: Coordinator | None = None
    reconciler: Process | None = None
    deployment: str = ""
    marbles: dict[str, Process] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        """The bare repository: what a Git host has."""
        return self.world.root / "shop.git"

    @property
    def simulation(self) -> Path:
        """The simulation platform's folder."""
        return self.world.root / "platform"

    @property
    def seal(self) -> Path:
        """The Coordinator's folder on the untrusted disk."""
        return self.world.root / "seal"

    @property
    def state(self) -> Path:
        """The reconciler's folder."""
        return self.world.root / "state"

    @property
    def era(self) -> Path:
        """The file that says which build of the Coordinator clients expect."""
        return self.world.root / "coordinator-era.json"

    @property
    def config(self) -> Path:
        """The reconciler's configuration file."""
        return self.world.root / "reconciler.json"

    @property
    def here(self) -> Coordinator:
        """The running Coordinator."""
        assert self.coordinator is not None, "the Coordinator is started in scene 1"
        return self.coordinator

    def __getattr__(self, name: str) -> Person:
        """Let a scene read like a story: ``mesh.alice``."""
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def launch_coordinator(
        self, *, name: str = "coordinator", seal: Path | None = None, address: Coordinator | None = None
    ) -> Coordinator:
        """Start a Coordinator process and wait until it serves; *address* asks for the ports of an earlier one."""
        ready = self.world.root / f"{name}.ready"
        ready.unlink(missing_ok=True)
        environment = {
            "EDG_COORDINATOR_PLATFORM": "simulation",
            "EDG_COORDINATOR_SIMULATION_DIR": str(self.simulation),
            "EDG_COORDINATOR_SEAL_DIR": str(seal or self.seal),
            "EDG_COORDINATOR_MESH_ADDR": address.mesh if address else "127.0.0.1:0",
            "EDG_COORDINATOR_CLIENT_ADDR": address.client if address else "127.0.0.1:0",
            "EDG_COORDINATOR_READY_FILE": str(ready),
        }
        process = self.world.start(name, [sys.executable, "-m", "marbleops", "coordinator"], environment)
        facts = self.world.until(f"{name} to serve", lambda: self.world.read_json(ready), process=process)
        return Coordinator(
            process, f"127.0.0.1:{facts['meshPort']}", f"127.0.0.1:{facts['clientPort']}", facts["root"]
        )

    def write_config(self) -> None:
        """Write the reconciler's configuration for the one target."""
        self.config.write_text(
            json.dumps(
                {
                    "stateDir": str(self.state),
                    "readyFile": str(self.world.root / "reconciler.ready"),
                    "targets": [
                        {
                            "name": TARGET,
                            "repository": {"url": str(self.repository), "branch": "main"},
                            "path": MANIFEST_PATH,
                            "interval": "5s",
                            "coordinator": {
                                "address": self.here.client,
                                "era": str(self.era),
                                "platform": {
                                    "kind": "simulation",
                                    "anchor": str(self.simulation / "anchor.der"),
                                },
                            },
                        }
                    ],
                },
                indent=2,
            )
        )

    def launch_reconciler(self) -> None:
        """Start the reconciler and wait until it watches."""
        ready = self.world.root / "reconciler.ready"
        ready.unlink(missing_ok=True)
        self.reconciler = self.world.start(
            "reconciler",
            [sys.executable, "-m", "marbleops", "reconciler", "run", "--config", str(self.config)],
        )
        self.world.until("reconciler to watch", ready.exists, process=self.reconciler)

    def measure(self, enclave: str) -> dict[str, Any]:
        """Ask what a build measures to, as its vendor would publish it."""
        path = EXAMPLES / "marbles" / enclave / "enclave.json"
        identity: dict[str, Any] = self.world.marbleops(
            "simulation", "measure", str(path), "-o", "json"
        ).json()
        return identity

    def wait(self, commit: str, *, codes: tuple[int, ...] = (0,), seconds: int = 30) -> Result:
        """Wait until the reconciler knows what came of *commit*."""
        return self.world.marbleops(
            "wait",
            commit,
            "--config",
            str(self.config),
            "--target",
            TARGET,
            "--timeout",
            f"{seconds}s",
            "-o",
            "json",
            codes=codes,
        )

    def status(self) -> dict[str, Any]:
        """Read the target's status as ``marbleops status`` shows it."""
        found = self.world.read_json(self.state / TARGET / "status.json")
        return found if isinstance(found, dict) else {}

    def candidate(self, commit: str, *, seconds: float = 20) -> dict[str, Any]:
        """Wait until the reconciler has looked at *commit*, and return what it found."""
        found: dict[str, Any] = self.world.until(
            f"the reconciler to look at {commit[:8]}",
            lambda: self.status().get("candidates", {}).get(commit),
            process=self.reconciler,
            seconds=seconds,
        )
        return found

    def enforced(self) -> tuple[int, str]:
        """Return version and digest of what the Coordinator enforces, asked from itself over an attested connection."""
        client = self.attested()
        try:
            policy = client.policy()
        finally:
            client.close()
        expect(policy is not None, "the Coordinator enforces no signed manifest")
        assert policy is not None
        return int(policy["version"]), str(policy["digest"])

    def attested(self, address: str | None = None) -> Any:
        """Open a connection to the Coordinator and attest it."""
        import os
        from datetime import UTC, datetime

        from marbleops.attestation.anchors import Anchors
        from marbleops.wire.rest import CoordinatorClient, Trust

        anchors = Anchors.simulation((self.simulation / "anchor.der").read_bytes())
        client = CoordinatorClient(address or self.here.client)
        client.attest(
            Trust(anchors=anchors, reference=None, pinned_root=None, collateral=None),
            nonce=os.urandom(32),
            at=datetime.now(UTC),
        )
        return client

    def start_marble(
        self, kind: str, build: str, *, name: str | None = None, extra: dict[str, str] | None = None
    ) -> Process:
        """Start a marble the way a pod would: our launcher in front of its program."""
        label = name or kind
        folder = self.world.root / "marbles" / label
        folder.mkdir(parents=True, exist_ok=True)
        for source in (EXAMPLES / "marbles" / build).iterdir():
            if source.is_file():
                shutil.copy(source, folder / source.name)
        environment = {
            "EDG_MARBLE_COORDINATOR_ADDR": self.here.mesh,
            "EDG_MARBLE_TYPE": kind,
            "EDG_MARBLE_DNS_NAMES": f"localhost,{kind}",
            "EDG_MARBLE_UUID_FILE": str(folder / "uuid"),
            "DEMO_REPORT": str(folder / "report.json"),
            **(extra or {}),
        }
        command = [
            sys.executable, "-m", "marbleops", "marble", "run",
            "--platform", "simulation", "--simulation-dir", str(self.simulation), "--enclave", str(folder / "enclave.json"),
            "--", sys.executable, "app.py",
        ]  # fmt: skip
        process = self.world.start(label, command, environment, cwd=folder)
        self.marbles[label] = process
        return process

    def report(self, label: str) -> dict[str, Any]:
        """Wait for the report a marble writes once it has its credentials."""
        path = self.world.root / "marbles" / label / "report.json"
        found: dict[str, Any] = self.world.until(
            f"{label} to report", lambda: self.world.read_json(path), process=self.marbles[label]
        )
        return found

    def refused_marble(self, label: str) -> str:
        """Wait for a marble that must end refused, and return what it said."""
        process = self.marbles[label]
        self.world.until(f"{label} to end", lambda: process.popen.poll() is not None)
        expect(process.popen.returncode != 0, f"{label} was admitted and should not have been")
        return process.tail()


def seed_repository(mesh: Mesh) -> None:
    """Make the bare repository from ``examples/gitops-repo`` with one unsigned first commit: no manifest yet."""
    if not EXAMPLES.is_dir():
        raise NotAsToldError(f"the example repository is not installed beside marbleops ({EXAMPLES})")
    seed = mesh.world.root / "seed"
    shutil.copytree(EXAMPLES, seed, ignore=shutil.ignore_patterns("__pycache__"))
    git = tool("git")
    mesh.world.run([git, "init", "-q", "--bare", "-b", "main", str(mesh.repository)])
    mesh.world.run([git, "init", "-q", "-b", "main", str(seed)])
    mesh.world.run([git, "add", "-A"], cwd=seed)
    mesh.world.run(
        [
            git,
            "-c",
            "user.name=Vendor",
            "-c",
            "user.email=vendor@example.org",
            "commit",
            "-q",
            "-m",
            "Example mesh",
        ],
        cwd=seed,
    )
    mesh.world.run([git, "push", "-q", str(mesh.repository), "main"], cwd=seed)
    shutil.rmtree(seed)
