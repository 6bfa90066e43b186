"""Walk the history of one path: which manifests lie between the tip and what is enforced.

All parents are followed, because a forge's merge hides the author's commit behind the second one
(approvals.md section 5). A walk stops where the file is absent or no newer than what is enforced.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from marbleops.manifest import limits as manifest_limits
from marbleops.manifest.digest import Digest
from reconciler import limits
from reconciler.repository import PathError, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One manifest found at the path, and the commits that hold it, nearest to the tip first.

    ``version``, ``previous`` and ``lineage`` are read leniently, to find the way; only ``decide`` judges.
    ``raw`` of an oversized file is cut, which changes no verdict: it is refused for its size.
    """

    raw: bytes
    digest: Digest
    blob: str
    commits: tuple[str, ...]
    version: int | None = None
    previous: Digest | None = None
    lineage: str | None = None
    readable: bool = False

    @property
    def commit(self) -> str:
        """The commit nearest to the tip."""
        return self.commits[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathHistory:
    """What a walk found: the manifest at the tip first, then the others by nearness."""

    tip: Draft
    others: tuple[Draft, ...]
    truncated: bool

    def by_digest(self, digest: Digest) -> Draft | None:
        """Find a manifest by its digest."""
        return next((draft for draft in (self.tip, *self.others) if draft.digest == digest), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is to be applied, oldest first, and what lost against it.

    ``connected`` tells whether the chain starts at the enforced manifest and ends at the tip.
    """

    drafts: tuple[Draft, ...]
    superseded: tuple[Draft, ...]
    connected: bool


def walk(repository: Repository, *, tip: str, path: str, enforced_version: int | None) -> PathHistory:
    """Walk from the commit *tip*.

    Raises:
        PathError: the tip has no plain file at *path*.
        RepositoryError: an object is missing or damaged.
    """
    first = repository.blob_id(repository.commit(tip).tree, path)
    if first is None:
        raise PathError("path-not-in-tree", f"commit {tip[:12]} has no file {path}")
    found: dict[str, list[str]] = {first: []}
    drafts = {first: read_draft(repository, first, commits=(tip,))}
    queue, seen, truncated = deque([tip]), {tip}, False
    while queue:
        if len(seen) > limits.MAX_WALK or len(found) > limits.MAX_DRAFTS:
            truncated = True
            break
        commit = repository.commit(queue.popleft())
        blob = _blob(repository, commit.tree, path)
        if blob is None:
            continue
        if blob not in drafts:
            drafts[blob] = read_draft(repository, blob, commits=(commit.id,))
        if not _newer(drafts[blob], enforced_version) and blob != first:
            continue
        found.setdefault(blob, []).append(commit.id)
        if not _newer(drafts[blob], enforced_version):
            continue  # the tip itself went back: what lies below is older still
        fresh = [parent for parent in commit.parents if parent not in seen]
        seen.update(fresh)
        queue.extend(fresh)
    ordered = [_with_commits(drafts[blob], commits) for blob, commits in found.items()]
    return PathHistory(tip=ordered[0], others=tuple(ordered[1:]), truncated=truncated)


def read_draft(repository: Repository, blob: str, *, commits: tuple[str, ...]) -> Draft:
    """Read the manifest *blob* and, leniently, its place in the chain.

    Raises:
        RepositoryError: the blob is missing or far too large.
    """
    raw = repository.manifest(blob)
    section = _section(raw)
    if section is None:
        return Draft(raw=raw, digest=Digest.of(raw), blob=blob, commits=commits)
    version, lineage = section.get("Version"), section.get("Lineage")
    return Draft(
        raw=raw,
        digest=Digest.of(raw),
        blob=blob,
        commits=commits,
        version=version if isinstance(version, int) and not isinstance(version, bool) else None,
        previous=_digest(section.get("Previous")),
        lineage=lineage if isinstance(lineage, str) else None,
        readable=True,
    )


def find_chain(history: PathHistory, enforced: Digest | None) -> Chain:
    """Find the way from the enforced manifest to the tip.

    Backwards from the tip by ``Previous``; where that does not arrive, forward from the enforced manifest by
    nearness, and then the tip on its own, to be refused. A tip that cannot be read may be the successor of
    anything, so nothing else is considered beside it.
    """
    tip = history.tip
    if tip.digest == enforced:
        return Chain(drafts=(), superseded=_rivals(history, (), enforced), connected=True)
    if not tip.readable:
        return Chain(drafts=(tip,), superseded=(), connected=False)
    backward = [tip]
    while backward[0].previous != enforced and len(backward) <= limits.MAX_DRAFTS:
        previous = backward[0].previous
        before = None if previous is None else history.by_digest(previous)
        if before is None or before in backward:
            break
        backward.insert(0, before)
    if backward[0].previous == enforced:
        chain = tuple(backward)
        return Chain(drafts=chain, superseded=_rivals(history, chain, enforced), connected=True)
    forward = tuple(_forward(history, enforced))
    rivals = _rivals(history, (*forward, tip), enforced)
    return Chain(drafts=(*forward, tip), superseded=rivals, connected=False)


def _forward(history: PathHistory, enforced: Digest | None) -> list[Draft]:
    chain: list[Draft] = []
    while len(chain) <= limits.MAX_DRAFTS:
        following = [d for d in history.others if d.readable and d.previous == enforced and d not in chain]
        if not following or (enforced is None and following[0].version != 1):
            return chain
        chain.append(following[0])
        enforced = following[0].digest
    return chain


def _rivals(history: PathHistory, chain: tuple[Draft, ...], enforced: Digest | None) -> tuple[Draft, ...]:
    bases = {enforced, *(draft.digest for draft in chain)}
    rivals = [d for d in history.others if d.readable and d not in chain and d.previous in bases]
    return tuple(rivals)


def _with_commits(draft: Draft, commits: list[str]) -> Draft:
    return Draft(
        raw=draft.raw,
        digest=draft.digest,
        blob=draft.blob,
        commits=tuple(commits[: limits.MAX_COMMITS_PER_DRAFT]) or draft.commits,
        version=draft.version,
        previous=draft.previous,
        lineage=draft.lineage,
        readable=draft.readable,
    )


def _blob(repository: Repository, tree: str, path: str) -> str | None:
    try:
        return repository.blob_id(tree, path)
    except PathError:
        return None


def _newer(draft: Draft, enforced_version: int | None) -> bool:
    return enforced_version is None or draft.version is None or draft.version > enforced_version


def _section(raw: bytes) -> dict[str, Any] | None:
    if len(raw) > manifest_limits.MAX_MANIFEST_BYTES:
        return None
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    section = document.get("GitOps") if isinstance(document, dict) else None
    return section if isinstance(section, dict) else None


def _digest(text: object) -> Digest | None:
    try:
        return Digest.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None
