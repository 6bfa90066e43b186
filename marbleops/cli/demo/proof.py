"""Scenes 8 and 9: what a customer can check, and what a power cut cannot lose."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from marbleops.cli.demo.genesis import next_version
from marbleops.cli.demo.narrator import Narrator, expect

if TYPE_CHECKING:
    from marbleops.cli.demo.mesh import Coordinator, Mesh
    from marbleops.cli.demo.world import Result


def keep_old_disk(mesh: Mesh) -> None:
    """Copy the Coordinator's folder, as an operator of the host could at any time."""
    shutil.copytree(mesh.seal, mesh.world.root / "seal-old")


def verify(
    mesh: Mesh, *arguments: str, address: str | None = None, codes: tuple[int, ...] | None = (0,)
) -> Result:
    """Run the customer's command."""
    return mesh.world.marbleops(
        "verify", "--coordinator", address or mesh.here.client,
        "--insecure-simulation", "--anchor", str(mesh.simulation / "anchor.der"),
        "--era", str(mesh.era),
        "--state", str(mesh.world.root / "home" / "pins.json"), "-o", "json", *arguments, codes=codes,
    )  # fmt: skip


def scene_8(mesh: Mesh, tell: Narrator) -> None:
    """Check from outside."""
    tell.scene(8, "The customer's one command: marbleops verify")
    unpinned = verify(mesh, codes=None)
    expect(unpinned.code != 0, "verify accepted a deployment nobody pinned")
    tell.refused("without a deployment id: NOT PINNED, exit code " + str(unpinned.code))
    seen = verify(mesh, "--deployment", mesh.deployment).json()
    who = ", ".join(sorted({row["user"] for row in seen["approvals"]}))
    tell.ok("quote → root certificate → deployment id → enforced manifest → version → commit → who approved")
    tell.ok(
        f"version {seen['version']}, {seen['digest'][:19]}…, commit {seen['source']['revision'][:18]}…, approved by {who}"
    )

    impostor = mesh.launch_coordinator(name="impostor", seal=mesh.world.root / "seal-impostor")
    _replay_genesis(mesh, impostor)
    answer = verify(mesh, "--deployment", mesh.deployment, address=impostor.client, codes=None)
    expect(answer.code != 0, "verify accepted an impostor")
    tell.refused(
        f"an impostor (another genuine Coordinator, the same first manifest replayed): {why(answer)}"
    )
    impostor.process.kill()

    here = mesh.here
    here.process.kill()
    mesh.coordinator = mesh.launch_coordinator(
        name="coordinator-old", seal=mesh.world.root / "seal-old", address=here
    )
    answer = verify(mesh, "--deployment", mesh.deployment, codes=None)
    expect(answer.code != 0, "verify accepted an older state")
    tell.refused(f"an older state put back by the disk: {why(answer)}")
    mesh.coordinator.process.kill()
    mesh.coordinator = mesh.launch_coordinator(address=here)
    verify(mesh, "--deployment", mesh.deployment)
    tell.ok("the present state again: accepted")


def why(answer: Result) -> str:
    """Take the reason from a refusal's JSON."""
    found = answer.json()
    error = found.get("error", found)
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _replay_genesis(mesh: Mesh, impostor: Coordinator) -> None:
    from marbleops.cli.demo.forgeries import first_manifest, tags

    alice = mesh.people["alice"]
    client = mesh.attested(impostor.client)
    try:
        decision = client.update(first_manifest(alice), tags(alice), dry_run=False, source=None)
        expect(
            decision.outcome == "applied",
            f"the impostor's genesis was {decision.outcome}: {decision.refusals}",
        )
    finally:
        client.close()


def scene_9(mesh: Mesh, tell: Narrator) -> None:
    """Pull the plug."""
    tell.scene(9, "kill -9 of the Coordinator and of the reconciler")
    before = mesh.enforced()
    here = mesh.here
    assert mesh.reconciler is not None
    mesh.here.process.kill()
    mesh.reconciler.kill()
    alice, bob = mesh.people["alice"], mesh.people["bob"]
    tell.note("both were killed with SIGKILL")
    mesh.coordinator = mesh.launch_coordinator(address=here)
    expect(mesh.enforced() == before, "the Coordinator came back with something else")
    tell.ok(f"the Coordinator came back with version {before[0]}; same root, same history")

    alice.pull()

    def change(draft: dict[str, Any]) -> None:
        draft["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "still here"
        next_version(mesh, draft)

    alice.edit(change)
    digest = alice.marbleops("digest", "envs/prod/manifest.json").out.split()[0]
    commit = alice.commit("frontend: still here", f"Approve-Manifest: {digest} by alice")
    alice.push()
    bob.pull()
    bob.marbleops("approve", "HEAD", "--yes", "--push")
    mesh.launch_reconciler()
    mesh.wait(commit)
    expect(mesh.enforced()[0] == before[0] + 1, "the change pushed while both were down was not applied")
    tell.ok(f"the reconciler came back and applied version {before[0] + 1}, pushed while both were down")
    verify(mesh, "--deployment", mesh.deployment)
    tell.ok(
        "verify: the history goes on from where the customer's kept head was; nothing acknowledged is lost"
    )
