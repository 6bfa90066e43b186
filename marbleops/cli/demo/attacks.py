"""Scenes 5 and 7: what is refused, by the reconciler first and by the Coordinator in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marbleops.cli.demo.genesis import next_version
from marbleops.cli.demo.narrator import Narrator, expect
from marbleops.cli.demo.people import Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from marbleops.cli.demo.mesh import Mesh


def scene_5(mesh: Mesh, tell: Narrator) -> None:
    """Push what must not be enforced."""
    tell.scene(5, "Pushes that are refused, each with its reason")
    before = mesh.enforced()
    mallory = Person.meet(mesh.world, "mallory")
    mallory.join(mesh.repository)
    mesh.people["mallory"] = mallory
    alice = mesh.people["alice"]

    def harmless(draft: dict[str, Any]) -> None:
        draft["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "mine"
        next_version(mesh, draft)

    _try(mesh, tell, mallory, "an unsigned push", harmless, signed=False, reason="threshold-not-met")
    _try(
        mesh,
        tell,
        mallory,
        "a stranger's signature and approval",
        harmless,
        approve=True,
        reason="unknown-key",
    )
    planted = _try(
        mesh,
        tell,
        mallory,
        "a planted manifest",
        harmless,
        signed=False,
        reason="threshold-not-met",
        keep=True,
        silent=True,
    )
    _unrelated(mesh, tell, alice, planted)

    def typo(draft: dict[str, Any]) -> None:
        harmless(draft)
        frontend = draft["Marbles"]["frontend"]
        frontend["MaxActivation"] = 3

    _try(mesh, tell, alice, "a typo in a field's name", typo, approve=True, reason="manifest-malformed")

    def lower(draft: dict[str, Any]) -> None:
        draft["Packages"]["backend"]["SecurityVersion"] = 1
        next_version(mesh, draft)

    _try(
        mesh, tell, alice, "a lower SecurityVersion", lower, approve=True, reason="security-version-decreases"
    )
    expect(mesh.enforced() == before, "something that was refused changed what is enforced")
    tell.ok(f"version {before[0]} is still enforced, byte for byte")


def _try(
    mesh: Mesh,
    tell: Narrator,
    person: Person,
    what: str,
    change: Callable[[dict[str, Any]], None],
    *,
    reason: str,
    signed: bool = True,
    approve: bool = False,
    keep: bool = False,
    silent: bool = False,
) -> str:
    """Push *change* as *person*, see it refused for *reason*, and take the branch back unless it is to be kept."""
    person.pull()
    good = person.head()
    person.edit(change)
    trailers = []
    if approve:
        digest = person.marbleops("digest", "envs/prod/manifest.json").out.split()[0]
        trailers = [f"Approve-Manifest: {digest} by {person.name}"]
    commit = person.commit(what, *trailers, signed=signed)
    person.push()
    found = mesh.candidate(commit)
    explained = reasons(found)
    expect(found["outcome"] != "Enforced", f"{what} was enforced")
    expect(reason in explained, f"{what}: expected {reason}, the reconciler says {found}")
    if not silent:
        tell.refused(f"{what}: {explained[reason]}", commit=commit)
    if not keep:
        person.push(f"{good}:refs/heads/main", force=True)
    return commit


def reasons(found: dict[str, Any]) -> dict[str, str]:
    """Collect a candidate's reasons, each with a line for people: message, path and line."""
    collected: dict[str, str] = {}
    for row in [*found.get("refusals", []), *found.get("pieces", [])]:
        if not row.get("reason"):
            continue
        place = ":".join(str(row[key]) for key in ("path", "line", "column") if row.get(key))
        collected.setdefault(
            row["reason"], f"{row['reason']}: {row.get('message', '')}" + (f" [{place}]" if place else "")
        )
    if found.get("reason"):
        collected.setdefault(found["reason"], f"{found['reason']}: {found.get('message', '')}")
    return collected


def _unrelated(mesh: Mesh, tell: Narrator, alice: Person, planted: str) -> None:
    """Sign something else on top of a planted manifest: that is no vote for the manifest."""
    alice.pull()
    (alice.clone / "NOTES.md").write_text("lunch at noon\n")
    commit = alice.commit("notes: lunch")
    alice.push()
    found = mesh.candidate(commit)
    expect(found["outcome"] != "Enforced", "an unrelated signed commit was taken for an approval")
    explained = reasons(found)
    tell.refused(
        f"alice's signed but unrelated commit on top of it: {next(iter(explained.values()), found['message'])}"
    )
    alice.push(f"{planted}~1:refs/heads/main", force=True)
    alice.pull()


def scene_7(mesh: Mesh, tell: Narrator) -> None:
    """Send hostile evidence straight to the Coordinator, as a compromised reconciler would."""
    tell.scene(7, "A hostile reconciler talks to the Coordinator directly")
    from marbleops.cli.demo.forgeries import forgeries

    before = mesh.enforced()
    client = mesh.attested()
    try:
        for name, manifest, pieces, expected in forgeries(mesh):
            decision = client.update(manifest, pieces, dry_run=False, source=None)
            expect(decision.outcome == "refused", f"{name}: {decision.outcome}")
            seen = {str(row.reason): row.message for row in decision.refusals}
            seen |= {str(piece.reason): piece.message for piece in decision.pieces if piece.reason}
            expect(expected in seen, f"{name}: expected {expected}, got {seen}")
            tell.refused(f"{name}: {expected}: {seen[expected]}")
    finally:
        client.close()
    expect(mesh.enforced() == before, "hostile evidence changed what is enforced")
