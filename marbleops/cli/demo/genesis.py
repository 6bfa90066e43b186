"""Scenes 1 and 2: a repository, three people, a Coordinator, a reconciler; and the first manifest, by two of three."""

from __future__ import annotations

import json
import time
from string import Template
from typing import Any

from marbleops.cli.demo.mesh import TARGET, Mesh, seed_repository
from marbleops.cli.demo.narrator import Narrator, expect
from marbleops.cli.demo.people import MANIFEST_PATH, Person

NAMES = ("alice", "bob", "carol")


def scene_1(mesh: Mesh, tell: Narrator) -> None:
    """Set the stage."""
    tell.scene(1, "A repository, three people, a Coordinator, a reconciler")
    seed_repository(mesh)
    tell.ok(f"bare repository made from examples/gitops-repo: {mesh.repository}")
    for name in NAMES:
        person = Person.meet(mesh.world, name)
        person.join(mesh.repository)
        mesh.people[name] = person
    signers = (f'{name}@example.org namespaces="git" {mesh.people[name].public_key}\n' for name in NAMES)
    mesh.world.allowed_signers.write_text("".join(signers))
    tell.ok(
        "alice, bob and carol made keys with ssh-keygen, cloned, and installed the commit hook (marbleops.approve=bumps)"
    )
    mesh.world.marbleops("simulation", "init", str(mesh.simulation))
    mesh.era.write_text(mesh.world.marbleops("simulation", "era").out)
    mesh.coordinator = mesh.launch_coordinator()
    tell.warn("SIMULATION: the Coordinator's quotes protect nothing; they only go through the real verifier")
    tell.ok(
        f"Coordinator serves REST on {mesh.here.client} and marbles on {mesh.here.mesh}", root=mesh.here.root
    )
    mesh.write_config()
    mesh.launch_reconciler()
    tell.ok(f"reconciler watches the repository for {MANIFEST_PATH}")


def first_manifest(mesh: Mesh) -> str:
    """Fill the example's template with real keys and measured builds."""
    frontend, backend = mesh.measure("frontend"), mesh.measure("backend/v1")
    values = {f"{name.upper()}_KEY": mesh.people[name].public_key for name in NAMES}
    values |= {"FRONTEND_SIGNER": frontend["SignerID"], "BACKEND_SIGNER": backend["SignerID"]}
    template = (mesh.people["alice"].clone / "envs/prod/manifest.template.json").read_text()
    return Template(template).substitute(values)


def scene_2(mesh: Mesh, tell: Narrator) -> None:
    """Enforce version 1."""
    tell.scene(2, "git push of the first manifest, approved by two of three")
    alice, bob, carol = (mesh.people[name] for name in NAMES)
    alice.manifest.write_text(first_manifest(mesh))
    alice.marbleops("lint", MANIFEST_PATH)
    commit = alice.commit("prod: first manifest")
    alice.push()
    tell.ok(f"alice pushed the manifest as {commit[:8]}, signed by git commit -S")
    early = str(mesh.candidate(commit).get("message", ""))
    tell.note(f"nobody has approved it yet: {early.partition(';')[0]}")

    for person in (bob, carol):
        person.pull()
    alice.marbleops("approve", "HEAD", "--yes")
    bob.marbleops("approve", "HEAD", "--yes")
    tell.ok(
        "alice and bob ran `marbleops approve`: a signed tag each that names the manifest's SHA-256; it proves their keys too"
    )
    carol.marbleops("approve", "HEAD", "--prove-key", "--yes")
    tell.ok("carol proved that her key works, without approving")
    for person in (alice, carol):
        person.push("--tags")
    begin = time.monotonic()
    bob.push("--tags")
    mesh.wait(commit)
    seconds = time.monotonic() - begin
    version, digest = mesh.enforced()
    expect(version == 1, f"expected version 1 to be enforced, found {version}")
    mesh.deployment = deployment_of(mesh)
    tell.ok(
        f"the Coordinator enforces version 1, {digest[:19]}…; from bob's push to enforced: {seconds:.2f} s",
        seconds=round(seconds, 3),
    )
    tell.note(f"deployment id {mesh.deployment}")


def deployment_of(mesh: Mesh) -> str:
    """Ask the Coordinator for the id that clients pin."""
    client = mesh.attested()
    try:
        return str(client.policy()["deployment"])
    finally:
        client.close()


def document(person: Person) -> dict[str, Any]:
    """Return the manifest in somebody's work tree, parsed."""
    parsed: dict[str, Any] = json.loads(person.manifest.read_text())
    return parsed


def next_version(mesh: Mesh, draft: dict[str, Any]) -> None:
    """Fill in what every manifest but the first says about the one it replaces."""
    version, digest = mesh.enforced()
    draft["GitOps"] |= {"Version": version + 1, "Previous": digest, "Deployment": mesh.deployment}


__all__ = ["TARGET", "document", "next_version", "scene_1", "scene_2"]
