"""Which manifests a branch offers, and in which order they are taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marbleops.manifest.digest import Digest
from reconciler import limits
from reconciler.history import Draft, PathHistory, find_chain, read_draft, walk
from reconciler.repository import PathError, Repository, RepositoryError

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = pygit2.Signature("alice", "alice@example.org", 1_800_000_000, 0)
PATH = "envs/prod/manifest.json"


def manifest(version: int, previous: bytes | None, *, mark: str = "") -> bytes:
    """Write the little of a manifest that a walk reads."""
    section: dict[str, Any] = {"Lineage": "shop", "Version": version}
    if previous is not None:
        section["Previous"] = str(Digest.of(previous))
    return json.dumps({"GitOps": section, "Mark": mark}).encode()


class Builder:
    """Writes commits into a bare repository with libgit2."""

    def __init__(self, folder: Path) -> None:
        self.inner = pygit2.init_repository(str(folder), bare=True)
        self.repository = Repository(self.inner)

    def commit(self, raw: bytes | None, *parents: str, mode: int = 0o100644) -> str:
        """Commit *raw* at the path (``None``: an empty tree)."""
        tree = self.inner.TreeBuilder().write()
        if raw is not None:
            entry = self.inner.create_blob(raw)
            for name, kind in (("manifest.json", mode), ("prod", 0o040000), ("envs", 0o040000)):
                builder = self.inner.TreeBuilder()
                builder.insert(name, entry, kind)
                entry = builder.write()
            tree = entry
        made = self.inner.create_commit(None, SIGNATURE, SIGNATURE, "text", tree, list(parents))
        return str(made)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """Make an empty repository."""
    return Builder(tmp_path / "repository.git")


ONE = manifest(1, None)
TWO = manifest(2, ONE)
THREE = manifest(3, TWO)
RIVAL = manifest(2, ONE, mark="rival")


def chain_of(builder: Builder, tip: str, enforced: bytes | None) -> tuple[list[bytes], list[bytes], bool]:
    """Walk and find the chain above *enforced*."""
    version = None if enforced is None else json.loads(enforced)["GitOps"]["Version"]
    history = walk(builder.repository, tip=tip, path=PATH, enforced_version=version)
    chain = find_chain(history, None if enforced is None else Digest.of(enforced))
    return [d.raw for d in chain.drafts], [d.raw for d in chain.superseded], chain.connected


def test_versions_oldest_first(builder: Builder) -> None:
    """All versions above the enforced one, the oldest first."""
    first = builder.commit(ONE)
    second = builder.commit(TWO, first)
    third = builder.commit(THREE, second)
    assert chain_of(builder, third, None) == ([ONE, TWO, THREE], [], True)
    assert chain_of(builder, third, ONE) == ([TWO, THREE], [], True)
    assert chain_of(builder, third, THREE) == ([], [], True)


def test_nearest_to_the_tip_wins(builder: Builder) -> None:
    """Of two with the same Previous the later one is taken, the other is superseded."""
    first = builder.commit(ONE)
    draft = builder.commit(RIVAL, first)
    tip = builder.commit(TWO, draft)
    assert chain_of(builder, tip, ONE) == ([TWO], [RIVAL], True)


def test_previous_leads_past_a_rival(builder: Builder) -> None:
    """A chain follows ``Previous`` even where a rival is nearer."""
    first = builder.commit(ONE)
    second = builder.commit(TWO, first)
    draft = builder.commit(RIVAL, second)
    tip = builder.commit(THREE, draft)
    assert chain_of(builder, tip, ONE) == ([TWO, THREE], [RIVAL], True)


def test_second_parent_is_followed(builder: Builder) -> None:
    """Commits behind a merge's second parent hold the manifest too."""
    base = builder.commit(ONE)
    author = builder.commit(TWO, base)
    approver = builder.commit(TWO, author)
    merge = builder.commit(TWO, base, approver)
    history = walk(builder.repository, tip=merge, path=PATH, enforced_version=1)
    assert history.tip.commits == (merge, approver, author)


def test_broken_chain_ends_in_the_tip(builder: Builder) -> None:
    """A tip whose ``Previous`` leads nowhere is refused alone, after what can be applied."""
    first = builder.commit(ONE)
    second = builder.commit(TWO, first)
    lost = manifest(9, b"never seen")
    assert chain_of(builder, builder.commit(lost, second), ONE) == ([TWO, lost], [], False)


def test_unreadable_tip_stands_alone(builder: Builder) -> None:
    """Beside a tip that is no JSON nothing else is considered."""
    first = builder.commit(ONE)
    second = builder.commit(TWO, first)
    assert chain_of(builder, builder.commit(b"{", second), ONE) == ([b"{"], [], False)


def test_older_tip(builder: Builder) -> None:
    """A branch moved back offers only its old manifest, which will be refused."""
    first = builder.commit(ONE)
    assert chain_of(builder, first, TWO) == ([ONE], [], False)


def test_nothing_at_the_path(builder: Builder) -> None:
    """A missing file, an executable and a link are told apart from a manifest."""
    with pytest.raises(PathError) as caught:
        walk(builder.repository, tip=builder.commit(None), path=PATH, enforced_version=None)
    assert caught.value.reason == "path-not-in-tree"
    for mode in (0o100755, 0o120000):
        with pytest.raises(PathError) as caught:
            walk(builder.repository, tip=builder.commit(ONE, mode=mode), path=PATH, enforced_version=None)
        assert caught.value.reason == "wrong-mode"


def test_walk_is_bounded(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long history is cut off, and that is said."""
    monkeypatch.setattr(limits, "MAX_WALK", 5)
    tip = builder.commit(ONE)
    for _ in range(10):
        tip = builder.commit(ONE, tip)
    history = walk(builder.repository, tip=tip, path=PATH, enforced_version=None)
    assert history.truncated
    assert len(history.tip.commits) <= 6


def test_missing_objects(builder: Builder) -> None:
    """A damaged cache is an error of ours, never a verdict."""
    with pytest.raises(RepositoryError):
        walk(builder.repository, tip="0" * 40, path=PATH, enforced_version=None)
    with pytest.raises(RepositoryError):
        builder.repository.resolve("nothing")
    with pytest.raises(RepositoryError):
        builder.repository.commit(str(builder.inner.create_blob(b"x")))


def test_cycle_of_previous_ends() -> None:
    """Manifests that name each other as ``Previous`` cannot make the search endless."""
    a = Draft(raw=b"a", digest=Digest.of(b"a"), blob="a", commits=("c",), readable=True)
    b = Draft(raw=b"b", digest=Digest.of(b"b"), blob="b", commits=("d",), readable=True, previous=a.digest)
    a = replace(a, previous=b.digest)
    chain = find_chain(PathHistory(tip=a, others=(b,), truncated=False), Digest.of(b"enforced"))
    assert chain.drafts == (a,)
    assert not chain.connected


@given(st.binary(max_size=200) | st.from_regex(rb'\{"GitOps": ?.{0,80}\}', fullmatch=True))
def test_any_bytes_make_a_draft(raw: bytes) -> None:
    """Reading a manifest's place never fails, whatever the bytes are."""

    class One:
        def manifest(self, _: str) -> bytes:
            return raw

    draft = read_draft(One(), "b", commits=("c",))  # type: ignore[arg-type]
    assert draft.digest == Digest.of(raw)
    assert draft.readable or draft.version is None
