"""What a hostile reconciler might send: made with real git and real keys, in the attacker's reach or stolen from history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from marbleops.approval.evidence import ObjectPiece, Piece
from marbleops.cli.demo.genesis import next_version
from marbleops.cli.demo.people import MANIFEST_PATH, Person
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.cli.demo.mesh import Mesh

Forgery = tuple[str, bytes, tuple[Piece, ...], str]


def forgeries(mesh: Mesh) -> Iterator[Forgery]:
    """Yield (what, manifest, evidence, the reason expected)."""
    alice, bob, mallory = (mesh.people[name] for name in ("alice", "bob", "mallory"))
    alice.pull()
    mallory.pull()
    draft = _draft(mesh, alice)
    genuine = _render(draft)
    yield "empty evidence", genuine, (), "threshold-not-met"

    stolen = _approval(mallory, genuine, as_user="alice")
    yield (
        "approval in alice's name, signed by a stranger",
        genuine,
        (ObjectPiece(object=stolen),),
        "unknown-key",
    )

    signed = _approval(alice, genuine)
    forged = signed.replace(b"I have read it", b"I have not read it")
    yield "alice's approval with its text changed", genuine, (ObjectPiece(object=forged),), "bad-signature"

    altered = genuine.replace(b"from a reconciler", b"from a r\\u0065conciler")
    both = (ObjectPiece(object=signed), ObjectPiece(object=_approval(bob, genuine)))
    yield "two good approvals, the manifest altered after", altered, both, "trailer-wrong-digest"

    first = first_manifest(alice)
    yield "version 1 replayed with its own two approvals", first, tags(alice, version=1), "version-not-next"

    elsewhere = _render(draft | {"GitOps": draft["GitOps"] | {"Lineage": "shop-staging"}})
    pieces = tuple(ObjectPiece(object=_approval(person, elsewhere)) for person in (alice, bob))
    yield "a manifest of another lineage, approved by two there", elsewhere, pieces, "lineage-mismatch"


def _draft(mesh: Mesh, person: Person) -> dict[str, Any]:
    draft: dict[str, Any] = json.loads(person.manifest.read_text())
    draft["Marbles"]["frontend"]["Parameters"]["Env"]["GREETING"] = "from a reconciler"
    next_version(mesh, draft)
    return draft


def _render(draft: dict[str, Any]) -> bytes:
    return (json.dumps(draft, indent=2) + "\n").encode()


def _approval(person: Person, manifest: bytes, *, as_user: str | None = None) -> bytes:
    """Make a signed commit that approves *manifest*, with the person's own git and key."""
    line = f"Approve-Manifest: {Digest.of(manifest)} by {as_user or person.name}"
    commit = person.git(
        "commit-tree", "-S", "-p", "HEAD", "-m", "I have read it", "-m", line, "HEAD^{tree}"
    ).out.strip()
    return person.git("cat-file", "commit", commit).out.encode()


def first_manifest(person: Person) -> bytes:
    """Take version 1 out of the history."""
    commits = person.git("log", "--format=%H", "--reverse", "--", MANIFEST_PATH).out.split()
    return person.git("cat-file", "blob", f"{commits[0]}:{MANIFEST_PATH}").out.encode()


def tags(person: Person, *, version: int | None = None) -> tuple[Piece, ...]:
    """Take the signed tags that approved a version, or all there are, key proofs included."""
    lineage = json.loads(person.manifest.read_text())["GitOps"]["Lineage"]
    names = person.git(
        "tag", "--list", f"approve/{lineage}/{version}/*" if version else f"approve/{lineage}/*"
    ).out.split()
    return tuple(ObjectPiece(object=person.git("cat-file", "tag", name).out.encode()) for name in names)
