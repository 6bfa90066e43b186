"""``plan``: what a manifest would change, what that needs, and what is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions, path_option, repository_option, trust_options
from marbleops.cli.output import GOOD, printer

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.approval.decision import Decision
    from marbleops.cli.base import Candidate
    from marbleops.cli.git import Repository


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@repository_option
@path_option
@trust_options
def plan(*, revision: str | None, repository: Path, manifest_path: str | None, trust: TrustOptions) -> int:
    """Show what a manifest would change and who must approve it.

    Reads the manifest of commit REV, or of the work tree, and compares it with the bytes its Previous names:
    semantic diff, class of the change, what it weakens, approvals needed and there, what rotates, which
    marbles must restart. With --coordinator or --config the base is asked from the attested Coordinator, and
    remembered in this clone for the commit hook. The prediction is made by the code that runs in the enclave.

    Exit codes: 0 nothing to do, 10 ready to be applied, 11 waiting for approvals, 3 would be refused.
    """
    from marbleops.cli.base import manifest_path as path_of
    from marbleops.cli.basis import choose_basis
    from marbleops.cli.evidence import collect
    from marbleops.cli.git import repository as open_repository
    from marbleops.cli.preview import preview
    from marbleops.cli.show import show_preview

    repo = open_repository(repository)
    path = path_of(repo, manifest_path)
    candidate = _candidate(repo, revision, path)
    out = printer()
    basis = choose_basis(repo, path, candidate.manifest, trust, strict=False)
    base = basis.manifest
    if _is_known_enforced(repo, path, candidate, base.digest if basis.checked and base is not None else None):
        out.document({"plan": "nothing-to-do", **_nothing(candidate, checked=basis.checked)})
        out.mark(GOOD, f"nothing to do: {candidate.manifest.digest} is enforced")
        return Exit.OK
    policy_source = base or candidate.manifest
    tree_votes = policy_source.gitops is not None and policy_source.gitops.binding == "tree"
    evidence = collect(repo, candidate, tree_votes=tree_votes)
    page = preview(candidate.manifest, basis, evidence)
    code = exit_of(page.decision)
    out.document({"plan": code.name.lower().replace("_", "-"), **page.document()})
    show_preview(out, page)
    return code


def exit_of(decision: Decision) -> Exit:
    """Return ``plan``'s exit code for a predicted decision."""
    from marbleops.approval.decision import Outcome

    if decision.outcome is Outcome.UNCHANGED:
        return Exit.OK
    if decision.outcome is not Outcome.REFUSED:
        return Exit.CHANGES_READY
    from marbleops.cli.preview import hopeless

    return Exit.REFUSED if hopeless(decision) else Exit.CHANGES_WAITING


def _nothing(candidate: Candidate, *, checked: bool) -> dict[str, Any]:
    """Return the plan of a manifest that is enforced: the same keys as any other plan."""
    digest = str(candidate.manifest.digest)
    lists: dict[str, Any] = {
        name: [] for name in ("assumptions", "edits", "rotates", "restarts", "refusedAtRestart")
    }
    return {"digest": digest, "base": digest, "checked": checked, "decision": None, **lists}


def _candidate(repository: Repository, revision: str | None, path: str) -> Candidate:
    from marbleops.cli.base import Candidate, load_from, read_candidate
    from marbleops.cli.files import read_bytes
    from marbleops.manifest.limits import MAX_MANIFEST_BYTES

    if revision is not None:
        return read_candidate(repository, repository.commit_of(revision), path)
    raw = read_bytes(repository.folder / path, limit=MAX_MANIFEST_BYTES)
    head = repository.object_at("HEAD^{commit}") or ""
    return Candidate(commit=head, path=path, manifest=load_from(path, raw))


def _is_known_enforced(repository: Repository, path: str, candidate: Candidate, attested: object) -> bool:
    """Tell whether the candidate is what is enforced: as attested just now, else as this clone remembers."""
    from marbleops.cli.enforced import recall

    if attested is not None:
        return candidate.manifest.digest == attested
    known = recall(repository, path)
    return known is not None and known.digest == candidate.manifest.digest
