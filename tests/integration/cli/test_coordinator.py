"""The verbs that ask a Coordinator, against a real one: attested first, pinned after, loud in simulation."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.manifest.digest import Digest
from tests.fakes.coordinator_process import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Clone, Done

pytestmark = pytest.mark.integration

MANIFEST = "envs/prod/manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A Coordinator, a clone beside it, and how the clone's owner names it."""

    process: CoordinatorProcess
    clone: Clone

    @property
    def trust(self) -> tuple[str, ...]:
        anchor = str(self.process.simulation / "anchor.der")
        address = f"127.0.0.1:{self.process.client_port}"
        return ("--coordinator", address, "--anchor", anchor, "--insecure-simulation")

    @property
    def config(self) -> Path:
        file = self.process.directory / "reconciler.json"
        coordinator = {
            "address": f"127.0.0.1:{self.process.client_port}",
            "platform": {"kind": "simulation", "anchor": str(self.process.simulation / "anchor.der")},
        }
        target = {"name": "shop", "repository": {"url": str(self.clone.folder)}, "coordinator": coordinator}
        file.write_text(json.dumps({"stateDir": str(self.process.directory / "state"), "targets": [target]}))
        return file

    def apply(self, *names: str, proofs: tuple[str, ...] = (), code: int = 0) -> Done:
        """Approve the manifest in the work tree detached and send the folder."""
        folder = self.process.directory / "evidence"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(self.clone.manifest, folder / "manifest.json")
        for name in names:
            self._sign(name, folder / f"{name}.sig")
        for name in proofs:
            self._sign(name, folder / f"{name}.key-proof.sig", "--prove-key")
        return self.clone.mo("apply", "--evidence", str(folder), *self.trust, "-o", "json", codes=(code,))

    def _sign(self, name: str, out: Path, *options: str) -> None:
        key = str(self.clone.keys / name)
        self.clone.mo("statement", MANIFEST, "--sign", key, "--out", str(out), *options)

    def verify(self, *options: str, code: int = 0) -> Any:
        state = str(self.process.directory / "pins.json")
        return self.clone.mo(
            "verify", *self.trust, "--state", state, "-o", "json", *options, codes=(code,)
        ).json()


@pytest.fixture
def running(clone: Clone, tmp_path: Path) -> Iterator[Running]:
    """Run a Coordinator that enforces the example's first manifest."""
    directory = tmp_path / "coordinator"
    directory.mkdir()
    clone.mo("simulation", "init", str(directory / "platform"))
    process = CoordinatorProcess(directory)
    try:
        process.start()
        world = Running(process=process, clone=clone)
        assert world.apply("alice", "bob", proofs=("carol",)).json()["outcome"] == "applied"
        yield world
    finally:
        process.close()


def test_apply_verify_pin_and_impostor(running: Running) -> None:
    """From a folder of signed files to the customer's tick, and an impostor's refusal."""
    unpinned = running.verify(code=7)
    assert unpinned["verdict"] == "not-pinned"
    assert {row["user"] for row in unpinned["approvals"]} == {"alice", "bob"}
    found = running.verify("--deployment", unpinned["deployment"])
    assert found["verdict"] == "verified"
    assert found["trustDomain"] != "intel"
    assert running.verify()["verdict"] == "verified", "the pins file remembers the address"
    other = running.verify("--deployment", str(Digest.of(b"another")), code=6)
    assert (other["error"]["code"], other["error"]["reason"]) == ("untrusted", "deployment-mismatch")
    assert [row["name"] for row in other["error"]["details"] if not row["ok"]] == ["Deployment id"]
    assert running.apply("alice", "bob").json()["outcome"] == "unchanged"


def test_verify_in_text_shows_ticks_and_banner(running: Running) -> None:
    """A person sees the chain step by step, and that it is a simulation."""
    state = str(running.process.directory / "pins.json")
    done = running.clone.mo("verify", *running.trust, "--state", state, codes=(7,))
    assert "SIMULATION - no hardware protection" in done.err
    for words in (
        "SIMULATED quote",
        "enforces version 1 of shop-demo",
        "approved by alice",
        "NOT PINNED",
        "next: ",
    ):
        assert words in done.out


def test_era_must_match(running: Running, tmp_path: Path) -> None:
    """Another build than the era file names is not trusted."""
    era = tmp_path / "era.json"
    era.write_text(json.dumps({"UniqueID": "0" * 64}))
    assert running.verify("--era", str(era), code=6)["error"]["code"] == "untrusted"


def test_attested_plan_and_approve(running: Running) -> None:
    """With a Coordinator the base is checked, remembered for the hook, and a stale draft is not signed."""
    deployment = running.verify(code=7)["deployment"]
    clone = running.clone
    clone.draft(greeting="good day")
    document = clone.document()
    document["GitOps"]["Deployment"] = deployment
    clone.write(document)
    clone.commit(subject="WIP")
    page = clone.mo("plan", "HEAD", "--config", str(running.config), codes=(11,))
    assert "read from an attested Coordinator just now" in page.out
    known = json.loads((clone.folder / ".git/marbleops/enforced.json").read_text())[MANIFEST]
    assert (known["how"], known["deployment"]) == ("attested", deployment)
    answer = clone.mo("approve", "HEAD", "--yes", *running.trust, "-o", "json").json()
    assert answer["checked"] is True
    document["GitOps"]["Previous"] = str(Digest.of(b"something else"))
    clone.write(document)
    clone.commit(subject="WIP")
    refused = clone.mo("approve", "HEAD", "--yes", "--replace", *running.trust, codes=(3,))
    assert "is enforced" in refused.err


def test_unattested_bump_is_not_approved_unasked(running: Running) -> None:
    """Once attested versions are known, the hook knows a bump that no running build has shown: it asks."""
    clone = running.clone
    clone.git("config", "marbleops.approve", "bumps")
    clone.mo("plan", "--config", str(running.config))
    deployment = running.verify(code=7)["deployment"]
    clone.draft(backend=2)
    document = clone.document()
    document["GitOps"]["Deployment"] = deployment
    clone.write(document)
    assert "Approve-Manifest:" not in clone.commit()


def test_dry_run_and_refusal(running: Running) -> None:
    """A change with one vote is refused with exit code 3 and the Coordinator's own words."""
    clone = running.clone
    deployment = running.verify(code=7)["deployment"]
    clone.draft(greeting="good day")
    document = clone.document()
    document["GitOps"]["Deployment"] = deployment
    clone.write(document)
    answer = running.apply("alice", code=3).json()
    assert answer["outcome"] == "refused"
    assert "threshold-not-met" in {row["reason"] for row in answer["refusals"]}
    assert running.verify(code=7)["version"] == 1


def test_target_accept_leaves_word_for_the_reconciler(running: Running) -> None:
    """A person accepts a root by name; without one there must be somebody to ask."""
    config = str(running.config)
    root = running.verify(code=7)["root"]
    assert root in running.clone.mo("target", "accept", "shop", "--config", config, codes=(2,)).err
    running.clone.mo("target", "accept", "shop", "--config", config, "--root", root)
    accepted = json.loads((running.process.directory / "state/shop/accept.json").read_text())
    assert accepted["root"] == root


def test_nobody_answers(running: Running) -> None:
    """A Coordinator that is gone is unreachable, not untrusted."""
    running.process.kill()
    assert running.verify(code=5)["error"]["code"] == "unreachable"
