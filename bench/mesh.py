"""A running mesh whose ordinary changes need one person: what the benchmarks and the end-to-end tests drive."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from marbleops.cli.demo import genesis
from marbleops.cli.demo.mesh import Mesh
from marbleops.cli.demo.narrator import Narrator
from marbleops.cli.demo.world import World
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def one_approver_mesh() -> Iterator[Mesh]:
    """Start a mesh with version 1 enforced, in which alice alone may change a variable; end it afterwards."""
    mesh = Mesh(World.create())
    try:
        _start(mesh)
        yield mesh
    finally:
        mesh.world.close(keep=False)


def _start(mesh: Mesh) -> None:
    genesis.scene_1(mesh, Narrator(quiet=True))
    alice = mesh.people["alice"]
    document = json.loads(genesis.first_manifest(mesh))
    document["Config"]["UpdateThreshold"] = 1
    document["GitOps"]["Quorum"] = {}
    alice.manifest.write_text(json.dumps(document, indent=2) + "\n")
    commit = alice.commit("first manifest")
    alice.push()
    alice.marbleops("approve", "HEAD", "--yes")
    alice.push("--tags")
    for name in ("bob", "carol"):
        person = mesh.people[name]
        person.pull()
        person.marbleops("approve", "HEAD", "--prove-key", "--yes")
        person.push("--tags")
    mesh.wait(commit)
    mesh.deployment = genesis.deployment_of(mesh)


def commit_next(mesh: Mesh, greeting: str) -> tuple[str, str]:
    """Let alice commit the version after the one in her work tree, signed and approved; returns commit and digest."""
    alice = mesh.people["alice"]
    raw = alice.manifest.read_bytes()
    draft: dict[str, Any] = json.loads(raw)
    draft["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = greeting
    draft["GitOps"] |= {
        "Version": draft["GitOps"]["Version"] + 1,
        "Previous": str(Digest.of(raw)),
        "Deployment": mesh.deployment,
    }
    text = (json.dumps(draft, indent=2) + "\n").encode()
    alice.manifest.write_bytes(text)
    digest = str(Digest.of(text))
    return alice.commit(f"greet {greeting}", f"Approve-Manifest: {digest} by alice"), digest
