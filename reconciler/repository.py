"""Read raw Git objects out of a repository on this machine.

libgit2 finds and inflates objects, nothing else: commits, tags and trees leave here as raw bytes, and what
is evidence is parsed by ``marbleops.approval`` alone. Replace refs, grafts, filters and the working tree
play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pygit2
from pygit2.enums import ObjectType, Option

from marbleops.manifest import limits as manifest_limits
from reconciler import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KINDS = {
    ObjectType.COMMIT: "commit",
    ObjectType.TREE: "tree",
    ObjectType.BLOB: "blob",
    ObjectType.TAG: "tag",
}
_FOLDER, _FILE = "40000", "100644"


class RepositoryError(Exception):
    """The repository cannot be read: missing, damaged, or of a format libgit2 does not know."""


class UnsupportedRepositoryError(RepositoryError):
    """A SHA-256 or reftable repository."""


class PathError(Exception):
    """The path does not lead to a plain file: ``reason`` is ``path-not-in-tree`` or ``wrong-mode``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLinks:
    """What a walk needs of a commit, and its raw bytes."""

    id: str
    raw: bytes
    tree: str
    parents: tuple[str, ...]


class Repository:
    """One repository, open for reading."""

    def __init__(self, inner: pygit2.Repository) -> None:
        self._inner = inner
        self._blobs: dict[tuple[str, str], str | None] = {}

    @classmethod
    def open(cls, path: Path) -> Repository:
        """Open the repository whose folder (bare, or with a ``.git``) is *path*.

        Raises:
            UnsupportedRepositoryError: its object or ref format is not supported.
            RepositoryError: there is none, or it cannot be read.
        """
        pygit2.option(Option.SET_OWNER_VALIDATION, 0)  # a mounted repository belongs to somebody else
        try:
            return cls(pygit2.Repository(str(path)))
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise translate(error, f"cannot open {path}") from error

    def resolve(self, revision: str) -> str:
        """Return the id of the commit that *revision* names.

        Raises:
            RepositoryError: it names no commit.
        """
        try:
            return str(self._inner.revparse_single(revision).peel(pygit2.Commit).id)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise RepositoryError(f"{revision!r} names no commit") from error

    def reference(self, name: str) -> str | None:
        """Return what the reference *name* points at, or ``None``."""
        try:
            found = self._inner.references.get(name)
            return None if found is None else str(found.resolve().target)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise RepositoryError(f"cannot read {name}") from error

    def references(self, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return name and target of the newest references below *prefix*, in reverse order of their names."""
        try:
            names = [name for name in self._inner.references if name.startswith(prefix)]
            names.sort(reverse=True)
            pairs = ((name, self.reference(name)) for name in names[: limits.MAX_APPROVAL_REFS])
            return tuple((name, target) for name, target in pairs if target is not None)
        except pygit2.GitError as error:
            raise RepositoryError(f"cannot list {prefix}") from error

    def read(self, object_id: str, *, limit: int) -> tuple[str, bytes]:
        """Return kind and content of an object of at most *limit* bytes.

        Raises:
            RepositoryError: it is missing, damaged, or larger.
        """
        try:
            kind, size = self._inner.odb.read_header(object_id)
            if size > limit:
                raise RepositoryError(f"object {object_id} is larger than {limit} bytes")
            kind, content = self._inner.odb.read(object_id)
            return _KINDS[ObjectType(kind)], content
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise RepositoryError(f"object {object_id} cannot be read") from error

    def commit(self, object_id: str) -> CommitLinks:
        """Read a commit's links, leniently: what is evidence is parsed strictly elsewhere.

        Raises:
            RepositoryError: it is missing, or no commit.
        """
        kind, raw = self.read(object_id, limit=limits.MAX_COMMIT_BYTES)
        if kind != "commit":
            raise RepositoryError(f"object {object_id} is a {kind}, not a commit")
        tree, parents = "", []
        for line in raw.partition(b"\n\n")[0].split(b"\n"):
            name, _, value = line.partition(b" ")
            if name == b"tree" and not tree:
                tree = value.decode("ascii", "replace")
            elif name == b"parent":
                parents.append(value.decode("ascii", "replace"))
            elif name not in {b"tree", b"parent"}:
                break
        return CommitLinks(id=object_id, raw=raw, tree=tree, parents=tuple(parents))

    def blob_id(self, tree: str, path: str) -> str | None:
        """Return the id of the plain file at *path* below *tree*, or ``None`` where there is nothing.

        Raises:
            PathError: a link, submodule or executable is in the way.
            RepositoryError: a tree cannot be read.
        """
        known = (tree, path)
        if known not in self._blobs:
            self._blobs[known] = self._find(tree, path)
        return self._blobs[known]

    def _find(self, tree: str, path: str) -> str | None:
        name, _, rest = path.partition("/")
        for mode, entry, target in self.entries(tree):
            if entry != name:
                continue
            if mode != (_FOLDER if rest else _FILE):
                raise PathError(
                    "wrong-mode", f"{name!r} has mode {mode}, expected {_FOLDER if rest else _FILE}"
                )
            return self.blob_id(target, rest) if rest else target
        return None

    def trees(self, tree: str, path: str) -> tuple[bytes, ...]:
        """Return the raw trees from *tree* down to the folder of *path*.

        Raises:
            RepositoryError: one is missing.
        """
        chain: list[bytes] = []
        for name in path.split("/"):
            raw = self.read(tree, limit=limits.MAX_TREE_BYTES)[1]
            chain.append(raw)
            below = [target for _, entry, target in _entries(raw) if entry == name]
            if not below:
                raise RepositoryError(f"{path} is not in the tree")
            tree = below[0]
        return tuple(chain)

    def entries(self, tree: str) -> Iterator[tuple[str, str, str]]:
        """Yield mode, name and id of each entry of *tree*."""
        kind, raw = self.read(tree, limit=limits.MAX_TREE_BYTES)
        if kind != "tree":
            raise RepositoryError(f"object {tree} is a {kind}, not a tree")
        return _entries(raw)

    def folder(self, tree: str, path: str) -> tuple[tuple[str, str], ...]:
        """Return name and id of the plain files in the folder *path*; empty where there is no such folder."""
        for name in path.split("/"):
            below = [target for mode, entry, target in self.entries(tree) if (mode, entry) == (_FOLDER, name)]
            if not below:
                return ()
            tree = below[0]
        files = [(name, target) for mode, name, target in self.entries(tree) if mode == _FILE]
        return tuple(files[: limits.MAX_SIGNATURE_FILES])

    def manifest(self, blob: str) -> bytes:
        """Read the blob *blob*; one byte more than the limit is kept, so that the judge says ``too-large``.

        Raises:
            RepositoryError: it is missing or far too large.
        """
        return self.read(blob, limit=manifest_limits.MAX_MANIFEST_BYTES + 1)[1]


def translate(error: Exception, doing: str) -> RepositoryError:
    """Turn libgit2's error into ours, telling unsupported formats apart by their words."""
    text = str(error)
    known = ("unknown object format", "extensions.objectformat", "refstorage", "unsupported extension")
    if any(word in text.lower() for word in known):
        return UnsupportedRepositoryError(
            f"{doing}: SHA-256 and reftable repositories are not supported ({text})"
        )
    return RepositoryError(f"{doing}: {text}")


def _entries(raw: bytes) -> Iterator[tuple[str, str, str]]:
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at)
        end = raw.find(b"\0", space + 1)
        if space < 0 or end < 0 or end + 21 > len(raw):
            raise RepositoryError("a tree is not well formed")
        yield (
            raw[at:space].decode("ascii", "replace"),
            raw[space + 1 : end].decode("utf-8", "replace"),
            raw[end + 1 : end + 21].hex(),
        )
        at = end + 21
