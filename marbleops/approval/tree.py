"""Strict parser for tree objects, and the walk from a root tree to a blob.

Used by the tree vote only, where SHA-1 links trees to blobs (approvals.md section 2). Refused: unsorted or
duplicate entries, names that a checkout could confuse, links, submodules and executables at the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import object_id
from marbleops.approval.limits import MAX_DEPTH, MAX_TREE_BYTES
from marbleops.approval.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = "40000"
PLAIN_FILE = "100644"
# 100664 stands in old histories; it may stand beside the path, never on it.
_MODES = frozenset({FOLDER, PLAIN_FILE, "100755", "100664", "120000", "160000"})
_LONGEST_MODE = 6
_ID_BYTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One entry of a tree; ``id`` is the hexadecimal Git id."""

    mode: str
    name: str
    id: str


def parse_tree(raw: bytes) -> tuple[TreeEntry, ...]:
    """Parse a raw tree.

    Raises:
        EvidenceError: malformed-object or too-large.
    """
    if len(raw) > MAX_TREE_BYTES:
        raise EvidenceError(Reason.TOO_LARGE, f"a tree has at most {MAX_TREE_BYTES} bytes")
    entries = []
    names: set[str] = set()
    last = b""
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at, at + _LONGEST_MODE + 1)
        nul = raw.find(b"\0", space + 1) if space != -1 else -1
        if nul == -1 or len(raw) - nul - 1 < _ID_BYTES:
            raise _malformed("a tree entry does not end")
        mode = raw[at:space].decode("latin-1")
        if mode not in _MODES:
            raise _malformed("an unknown or non-canonical file mode")
        name = _name(raw[space + 1 : nul])
        # git sorts folders as if their names ended in a slash.
        key = raw[space + 1 : nul] + (b"/" if mode == FOLDER else b"")
        if key <= last or name in names:
            raise _malformed("tree entries are not sorted and unique")
        last = key
        names.add(name)
        at = nul + 1 + _ID_BYTES
        entries.append(TreeEntry(mode=mode, name=name, id=raw[nul + 1 : at].hex()))
    return tuple(entries)


def index_trees(raws: Iterable[bytes]) -> dict[str, bytes]:
    """Map raw trees by their Git id, for ``find_blob``."""
    return {object_id("tree", raw): raw for raw in raws}


def find_blob(*, root: str, path: str, trees: Mapping[str, bytes]) -> str:
    """Walk from the tree *root* along *path* and return the blob's id.

    Raises:
        EvidenceError: path-not-in-tree, also if *trees* lacks one on the way; wrong-mode; malformed-object,
            also if a tree does not have the id it is filed under; too-large.
    """
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        raise EvidenceError(Reason.TOO_LARGE, f"a path has at most {MAX_DEPTH} segments")
    here = root
    for number, segment in enumerate(segments, start=1):
        raw = trees.get(here)
        if raw is None:
            raise _absent(f"the evidence lacks tree {here} above {segment!r}")
        if object_id("tree", raw) != here:
            raise _malformed("a tree does not have the id it is filed under")
        found = next((entry for entry in parse_tree(raw) if entry.name == segment), None)
        if found is None:
            raise _absent(f"{'/'.join(segments[:number])!r} is not in the signed tree")
        wanted = PLAIN_FILE if number == len(segments) else FOLDER
        if found.mode != wanted:
            place = "/".join(segments[:number])
            raise EvidenceError(Reason.WRONG_MODE, f"{place!r} has mode {found.mode}, not {wanted}")
        here = found.id
    return here


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("a file name that is not UTF-8") from error
    if name in {"", ".", ".."} or name.lower() == ".git" or "/" in name:
        raise _malformed("a file name that no checkout can hold")
    return name


def _absent(message: str) -> EvidenceError:
    return EvidenceError(Reason.PATH_NOT_IN_TREE, message)


def _malformed(message: str) -> EvidenceError:
    return EvidenceError(Reason.MALFORMED_OBJECT, message)
