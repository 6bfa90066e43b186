"""What this clone knows to be enforced: the base of ``plan``, ``approve`` and of the commit hook.

Kept in ``<git common dir>/marbleops/enforced.json``, one entry per manifest path, with the manifest's bytes
beside it. An entry says how it is known: ``attested`` (asked from a Coordinator whose quote was checked) or
``reported`` (a reconciler's status, which anybody could have written). A wrong entry can make a person sign a
change that the Coordinator then refuses; it can make no change (approvals.md section 2, the hook).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_json_object, write_private
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.git import Repository

ATTESTED, REPORTED = "attested", "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One manifest that was enforced when somebody last looked."""

    path: str
    digest: Digest
    version: int
    deployment: str | None
    how: str
    policy: dict[str, Any] | None = None
    """The Coordinator's policy answer, kept for its floors and attested versions; only when attested."""

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "digest": str(self.digest),
            "version": self.version,
            "deployment": self.deployment,
            "how": self.how,
            "policy": self.policy,
        }


def recall(repository: Repository, path: str) -> Known | None:
    """Return what this clone last saw enforced at *path*; None if it never looked.

    Raises:
        UsageProblem: the file is damaged.
    """
    entry = _entries(repository).get(path)
    if entry is None:
        return None
    try:
        return Known(
            path=path,
            digest=Digest.parse(entry["digest"]),
            version=int(entry["version"]),
            deployment=entry["deployment"],
            how=ATTESTED if entry["how"] == ATTESTED else REPORTED,
            policy=entry.get("policy") if entry["how"] == ATTESTED else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageProblem("damaged; remove it and ask again", where=str(_file(repository))) from error


def remember(repository: Repository, known: Known, *, raw: bytes | None) -> None:
    """Keep *known*, and the manifest's bytes where they are at hand."""
    entries = _entries(repository)
    entries[known.path] = known.document()
    if raw is not None and Digest.of(raw) == known.digest:
        write_private(_bytes_file(repository, known.digest), raw)
    text = json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
    write_private(_file(repository), text.encode())


def remembered_bytes(repository: Repository, digest: Digest) -> bytes | None:
    """Return kept manifest bytes if they are there and have that digest."""
    file = _bytes_file(repository, digest)
    if not file.is_file():
        return None
    raw = file.read_bytes()
    return raw if Digest.of(raw) == digest else None


def _entries(repository: Repository) -> dict[str, Any]:
    file = _file(repository)
    return read_json_object(file) if file.is_file() else {}


def _file(repository: Repository) -> Path:
    return repository.common_dir() / "marbleops" / "enforced.json"


def _bytes_file(repository: Repository, digest: Digest) -> Path:
    return repository.common_dir() / "marbleops" / "manifests" / f"{digest.hex}.json"
