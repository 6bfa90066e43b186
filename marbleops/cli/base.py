"""Find the candidate manifest and the bytes it says it replaces.

The base of every comparison is *the bytes whose digest is Previous*: never a Git parent, never a branch
(approvals.md section 5, last paragraph). They are found in this clone by content; an attested Coordinator,
where one is reachable, says whether they are what is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.cli.enforced import remembered_bytes
from marbleops.cli.errors import UsageProblem
from marbleops.cli.git import check_path
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.limits import MAX_MANIFEST_BYTES
from marbleops.manifest.parse import Strictness, load

if TYPE_CHECKING:
    from marbleops.cli.git import Repository
    from marbleops.manifest.model import GitOps, Manifest

MAX_VERSIONS_SEARCHED = 2000
"""Older manifests of one path that are looked at; the newest come first."""


def load_from(place: str, raw: bytes) -> Manifest:
    """Parse a manifest; an error remembers *place*, for the person who must open the file.

    Raises:
        ManifestError: it is not a manifest, or breaks a rule.
    """
    try:
        return load(raw, strictness=Strictness.STRICT)
    except ManifestError as error:
        error.add_note(place)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The manifest of one commit, read once."""

    commit: str
    path: str
    manifest: Manifest

    @property
    def gitops(self) -> GitOps:
        """The manifest's GitOps section.

        Raises:
            UsageProblem: it has none, so nothing about it is approved by Git objects.
        """
        return section_of(self.manifest, self.path)


def section_of(manifest: Manifest, where: str) -> GitOps:
    """Return the GitOps section of *manifest*.

    Raises:
        UsageProblem: it has none.
    """
    if manifest.gitops is None:
        raise UsageProblem(
            "the manifest has no GitOps section, so Git objects cannot approve it", where=where
        )
    return manifest.gitops


def read_candidate(repository: Repository, commit: str, path: str) -> Candidate:
    """Read the manifest at *path* in *commit*, once, by its blob's content.

    Raises:
        UsageProblem: the commit has no such file.
        ManifestError: it is not a manifest, or breaks a rule.
    """
    blob = repository.object_at(f"{commit}:{check_path(path)}")
    if blob is None:
        raise UsageProblem("the commit has no file at this path", where=f"{commit[:12]}:{path}")
    raw = repository.blob(blob, limit=MAX_MANIFEST_BYTES)
    return Candidate(commit=commit, path=path, manifest=load_from(path, raw))


def manifest_path(repository: Repository, given: str | None) -> str:
    """Return the manifest's path: as given, or from ``git config marbleops.path``.

    Raises:
        UsageProblem: neither says it, or the configuration names several.
    """
    if given is not None:
        return check_path(given)
    paths = repository.config_all("marbleops.path")
    if len(paths) == 1:
        return check_path(paths[0])
    if paths:
        raise UsageProblem("several manifests are configured here", next_step=f"add --path {paths[0]}")
    found = discover(repository)
    if len(found) == 1:
        return found[0]
    raise UsageProblem(
        "which manifest? None or several carry a GitOps section with their own path",
        next_step="git config marbleops.path PATH",
    )


def discover(repository: Repository, *, staged_only: bool = False) -> tuple[str, ...]:
    """Return tracked JSON files whose GitOps section names their own path; *staged_only*: changed ones."""
    import json

    listing = ("diff", "--cached", "--name-only", "--no-renames") if staged_only else ("ls-files", "--cached")
    listed = repository.raw(*listing, "-z", "--", "*.json").split(b"\0")
    found: list[str] = []
    for name in filter(None, listed[:MAX_VERSIONS_SEARCHED]):
        path = name.decode("utf-8", "replace")
        blob = repository.object_at(f":{path}")
        if blob is None or int(repository.text("cat-file", "-s", blob)) > MAX_MANIFEST_BYTES:
            continue
        try:
            section = json.loads(repository.blob(blob, limit=MAX_MANIFEST_BYTES)).get("GitOps", {})
        except (ValueError, AttributeError, RecursionError):
            continue
        if isinstance(section, dict) and section.get("Path") == path:
            found.append(path)
    return tuple(found)


def find_bytes(repository: Repository, path: str, digest: Digest) -> bytes | None:
    """Return the bytes with *digest*: kept ones, else any version of *path* in any ref of this clone."""
    kept = remembered_bytes(repository, digest)
    if kept is not None:
        return kept
    listed = repository.text(
        "log",
        "--all",
        "--full-history",
        "-m",
        f"--max-count={MAX_VERSIONS_SEARCHED}",
        "--format=",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "-z",
        "--",
        f":(literal){check_path(path)}",
    )
    seen: set[str] = set()
    for blob in _blobs(listed):
        if blob in seen or set(blob) == {"0"}:
            continue
        seen.add(blob)
        raw = repository.raw("cat-file", "blob", blob)
        if Digest.of(raw) == digest:
            return raw
    return None


def find_previous(repository: Repository, path: str, manifest: Manifest) -> Manifest | None:
    """Return the manifest that *manifest* replaces; None for a first one.

    Raises:
        UsageProblem: this clone does not hold the bytes that ``Previous`` names.
        ManifestError: they are not a manifest.
    """
    previous = section_of(manifest, path).previous
    if previous is None:
        return None
    raw = find_bytes(repository, path, previous)
    if raw is None:
        raise UsageProblem(
            f"this clone does not hold the manifest that Previous names ({previous})",
            where=path,
            next_step="git fetch --all --tags, or give --coordinator HOST:PORT",
        )
    return load_from(path, raw)


def _blobs(listed: str) -> list[str]:
    """Return the blob ids of ``git log --raw -z``: both sides of every change, newest first."""
    ids: list[str] = []
    for field in listed.replace("\n", "\0").split("\0"):
        words = field.lstrip(":").split(" ")
        if field.startswith(":") and len(words) == 5 and words[1] in {"100644", "100755"}:
            ids.append(words[3])
        if field.startswith(":") and len(words) == 5 and words[0] in {"100644", "100755"}:
            ids.append(words[2])
    return ids
