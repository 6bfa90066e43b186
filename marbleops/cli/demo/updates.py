"""Scenes 3, 4 and 6: marbles that talk, a SecurityVersion update by one releaser, a full change by two people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marbleops.cli.demo.genesis import next_version
from marbleops.cli.demo.narrator import Narrator, expect

if TYPE_CHECKING:
    from marbleops.cli.demo.mesh import Mesh


def scene_3(mesh: Mesh, tell: Narrator) -> None:
    """Admit two marbles."""
    tell.scene(3, "Two marbles attest, get their credentials, and speak mTLS")
    port = mesh.world.root / "marbles" / "backend.port"
    mesh.start_marble("backend", "backend/v1", extra={"BACKEND_PORT_FILE": str(port)})
    backend = mesh.report("backend")
    tell.ok(f"backend: quote checked against its package, got {given(backend)}")
    mesh.start_marble("frontend", "frontend", extra={"BACKEND_PORT_FILE": str(port)})
    frontend = mesh.report("frontend")
    tell.ok(f"frontend: quote checked against its package, got {given(frontend)}")
    expect(frontend.get("backend_said"), f"the frontend got no answer from the backend: {frontend}")
    expect(
        frontend.get("backend_peer") == "backend", f"the frontend spoke with {frontend.get('backend_peer')!r}"
    )
    tell.ok(
        f"frontend → backend over mTLS: {frontend['backend_said']!r}; both certificates are issued by the mesh"
    )
    mesh.world.until(
        "backend to see its caller",
        lambda: mesh.report("backend").get("caller"),
        process=mesh.marbles["backend"],
    )


def given(report: dict[str, Any]) -> str:
    """Name what a marble received; names and digests only, never values."""
    return f"certificate and key, {len(report['files'])} file(s), {len(report['env'])} variables, argv {report['argv']}"


def scene_4(mesh: Mesh, tell: Narrator) -> None:
    """Raise a floor."""
    tell.scene(4, "A new backend build, then its SecurityVersion by one releaser's git commit -S")
    old_root = mesh.report("backend")["mesh_root"]
    port = mesh.world.root / "marbles" / "backend-2.port"
    mesh.start_marble("backend", "backend/v2", name="backend-2", extra={"BACKEND_PORT_FILE": str(port)})
    mesh.report("backend-2")
    tell.ok("the new build (SecurityVersion 2) was admitted beside the old one (SecurityVersion 1)")

    bob = mesh.people["bob"]
    bob.pull()

    def bump(draft: dict[str, Any]) -> None:
        draft["Packages"]["backend"]["SecurityVersion"] = 2
        next_version(mesh, draft)

    bob.edit(bump)
    bob.marbleops("plan", "--config", str(mesh.config), codes=None)
    commit = bob.commit("backend: SecurityVersion 2")
    message = bob.git("log", "-1", "--format=%B").out
    expect("Approve-Manifest: sha256:" in message, f"the hook did not add the approval line: {message!r}")
    tell.ok(
        f"bob committed {commit[:8]} with git commit -S; the hook saw a package bump and added his Approve-Manifest line"
    )
    bob.push()
    answer = mesh.wait(commit).json()
    expect(answer.get("class") == "package-bump", f"expected a package bump, got {answer}")
    tell.ok("applied as a package bump: one releaser is enough, and only up to what has already attested")

    mesh.marbles["backend"].kill()
    mesh.start_marble("backend", "backend/v1", name="backend-old")
    said = mesh.refused_marble("backend-old")
    expect("SecurityVersion" in said, f"the refusal does not explain itself: {said}")
    tell.refused(f"the old backend, restarted, is refused: {last_line(said, 'SecurityVersion')}")

    mesh.start_marble("backend", "backend/v2", name="backend-3", extra={"BACKEND_PORT_FILE": str(port)})
    fresh = mesh.report("backend-3")
    expect(fresh["mesh_root"] != old_root, "the mesh's CA did not rotate")
    expect(
        fresh["coordinator_root"] == mesh.report("backend-2")["coordinator_root"],
        "the Coordinator's root changed",
    )
    tell.ok("the mesh's CA has rotated; the Coordinator's root stayed the same")


def last_line(text: str, word: str) -> str:
    """Return the last line that holds *word*."""
    lines = [line.strip() for line in text.splitlines() if word in line]
    return lines[-1] if lines else text.strip().splitlines()[-1]


def scene_6(mesh: Mesh, tell: Narrator) -> None:
    """Change something ordinary, together."""
    tell.scene(6, "A full change: one person is not enough")
    alice, bob = mesh.people["alice"], mesh.people["bob"]
    alice.pull()

    def change(draft: dict[str, Any]) -> None:
        draft["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "hello again"
        next_version(mesh, draft)

    alice.edit(change)
    digest = alice.marbleops("digest", "envs/prod/manifest.json").out.split()[0]
    commit = alice.commit("frontend: greet again", f"Approve-Manifest: {digest} by alice")
    alice.push()
    found = mesh.candidate(commit)
    expect(found.get("outcome") == "Waiting", f"expected to wait for a second person, got {found}")
    tell.note(f"alice pushed {commit[:8]} with her approval: {found['message']}")
    bob.pull()
    bob.marbleops("approve", "HEAD", "--yes", "--push")
    mesh.wait(commit)
    version, _ = mesh.enforced()
    tell.ok(f"bob ran `marbleops approve` and pushed the tag: version {version} is enforced")
