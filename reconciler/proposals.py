"""Evidence on the heads of pull and merge requests, which a forge keeps after a squash or a rebase.

Only where the configuration says so (approvals.md section 5). A ref's name is trusted for nothing: it is one
more place where signed commits may lie.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from reconciler import limits
from reconciler.repository import PathError, Repository, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.repository import CommitLinks

PROPOSAL_PREFIXES = ("refs/pull/", "refs/merge-requests/")
_HEAD = re.compile(r"refs/(?:pull|merge-requests)/([0-9]{1,9})/head", re.ASCII)


def newest_proposals(heads: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Keep the newest requests by number; everything that is no request's head is left out."""
    numbered = [
        (int(match.group(1)), name, target) for name, target in heads if (match := _HEAD.fullmatch(name))
    ]
    return {name: target for _, name, target in sorted(numbered, reverse=True)[: limits.MAX_PROPOSALS]}


def proposal_commits(repository: Repository, *, blob: str, path: str) -> Iterator[CommitLinks]:
    """Yield the commits of the requests that hold exactly the file *blob* at *path*, heads first."""
    seen: set[str] = set()
    for prefix in PROPOSAL_PREFIXES:
        for name, head in repository.references(prefix):
            if _HEAD.fullmatch(name) is not None:
                yield from _holding(repository, head, blob=blob, path=path, seen=seen)


def _holding(
    repository: Repository, head: str, *, blob: str, path: str, seen: set[str]
) -> Iterator[CommitLinks]:
    queue = deque([head])
    for _ in range(limits.MAX_PROPOSAL_COMMITS):
        if not queue:
            return
        commit_id = queue.popleft()
        if commit_id in seen:
            continue
        seen.add(commit_id)
        try:
            commit = repository.commit(commit_id)
            if repository.blob_id(commit.tree, path) != blob:
                continue
        except (RepositoryError, PathError):
            continue  # not a commit, or of no use: somebody else's request
        yield commit
        queue.extend(commit.parents)
