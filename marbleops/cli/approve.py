"""``approve``: read the manifest of a commit once, show what it does, ask, and sign exactly those bytes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions, path_option, repository_option, trust_options
from marbleops.cli.output import GOOD, NOTE, notices, printer

if TYPE_CHECKING:
    from marbleops.cli.base import Candidate
    from marbleops.cli.git import Repository
    from marbleops.cli.keys import SigningKey
    from marbleops.cli.preview import Preview
    from marbleops.cli.signing import TagRequest

_KEY = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What happens to the tag once it is made."""

    remote: str | None
    replace: bool


@click.command()
@click.argument("revision", metavar="REV")
@repository_option
@path_option
@trust_options
@click.option("--yes", is_flag=True, help="Do not ask. You have read the diff elsewhere.")
@click.option("--key", type=_KEY, help="SSH key file to sign with. Default: Git's own signing configuration.")
@click.option("--push", is_flag=True, help="Push the tag.")
@click.option("--remote", default="origin", show_default=True, help="Where --push pushes to.")
@click.option("--replace", is_flag=True, help="Replace your tag of the same name, made for an earlier draft.")
@click.option(
    "--prove-key", is_flag=True, help="Prove that you hold a key that is new in the manifest. Not a vote."
)
def approve(
    *,
    revision: str,
    repository: Path,
    manifest_path: str | None,
    trust: TrustOptions,
    yes: bool,
    key: Path | None,
    push: bool,
    remote: str,
    replace: bool,
    prove_key: bool,
) -> int:
    """Approve the manifest of commit REV with a signed tag.

    Shows digest, class and semantic diff against the bytes that Previous names, asks, and makes the
    tag approve/<lineage>/<version>/<you> with your own Git signing set-up. With --coordinator or --config the
    base is checked against the attested Coordinator; without, the page says that it was not.
    """
    from marbleops.cli.base import manifest_path as path_of
    from marbleops.cli.base import read_candidate
    from marbleops.cli.git import repository as open_repository
    from marbleops.cli.keys import signing_key

    repo = open_repository(repository)
    commit = repo.commit_of(revision)
    candidate = read_candidate(repo, commit, path_of(repo, manifest_path))
    signer = signing_key(repo, key)
    sending = Sending(remote=remote if push else None, replace=replace)
    if prove_key:
        return _prove(repo, candidate, signer, sending)
    return _approve(repo, candidate, signer, sending, trust=trust, yes=yes)


def _approve(
    repo: Repository,
    candidate: Candidate,
    signer: SigningKey,
    sending: Sending,
    *,
    trust: TrustOptions,
    yes: bool,
) -> int:
    from marbleops.approval.statement import approval_line
    from marbleops.cli.basis import choose_basis
    from marbleops.cli.evidence import collect
    from marbleops.cli.keys import require_user
    from marbleops.cli.preview import preview
    from marbleops.cli.signing import TagRequest

    gitops = candidate.gitops
    if gitops.path != candidate.path:
        raise CommandError(
            f"the manifest says it lives at {gitops.path}", exit_code=Exit.REFUSED, where=candidate.path
        )
    basis = choose_basis(repo, candidate.path, candidate.manifest, trust, strict=True)
    electorate = basis.manifest or candidate.manifest
    user = require_user(
        electorate, signer.public, what="the manifest in force" if basis.manifest else "the manifest"
    )
    evidence = collect(repo, candidate, tree_votes=False)
    page = preview(candidate.manifest, basis, evidence)
    _refuse_hopeless(page)
    _confirm(page, candidate, user, yes=yes)
    request = TagRequest(
        name=f"approve/{gitops.lineage}/{gitops.version}/{user}",
        commit=candidate.commit,
        subject=f"Approve version {gitops.version} of {gitops.lineage}",
        line=approval_line(candidate.manifest.digest, user),
    )
    return _make(repo, request, signer, sending, user=user, digest=str(candidate.manifest.digest), page=page)


def _prove(repo: Repository, candidate: Candidate, signer: SigningKey, sending: Sending) -> int:
    from marbleops.approval.statement import key_proof_line
    from marbleops.cli.keys import require_user
    from marbleops.cli.signing import TagRequest

    lineage = candidate.gitops.lineage
    user = require_user(candidate.manifest, signer.public, what="the manifest")
    # The fingerprint's own alphabet has "/" in it, which a ref name would read as a folder.
    short = sha256(signer.public.blob).hexdigest()[:12]
    request = TagRequest(
        name=f"approve/{lineage}/keys/{user}-{short}",
        commit=candidate.commit,
        subject=f"Prove a signing key of {user} for {lineage}",
        line=key_proof_line(fingerprint=signer.public.fingerprint, lineage=lineage, user=user),
    )
    return _make(repo, request, signer, sending, user=user, digest=str(candidate.manifest.digest), page=None)


def _refuse_hopeless(page: Preview) -> None:
    """Stop where no number of approvals can help: a vote for it would be wasted."""
    from marbleops.cli.preview import hopeless

    for first in hopeless(page.decision):
        raise CommandError(
            f"the Coordinator would refuse this manifest: {first.reason}: {first.message}",
            exit_code=Exit.REFUSED,
            where=first.path,
            next_step="marbleops plan REV shows everything that is wrong",
        )


def _confirm(page: Preview, candidate: Candidate, user: str, *, yes: bool) -> None:
    """Show the page on standard error and ask; without a person nothing is signed unless ``--yes``."""
    from marbleops.cli.show import show_preview

    screen = notices()
    show_preview(screen, page)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(
            "nobody to ask: standard input is no terminal", next_step="add --yes if you mean it"
        )
    question = f"Sign {candidate.manifest.digest} as {user}?"
    if not click.confirm(question, default=False, err=True):
        raise CommandError("not approved", exit_code=Exit.REFUSED, where=candidate.commit[:12])


def _make(
    repo: Repository,
    request: TagRequest,
    signer: SigningKey,
    sending: Sending,
    *,
    user: str,
    digest: str,
    page: Preview | None,
) -> int:
    from marbleops.cli.signing import make_tag, push_tag

    made = make_tag(repo, request, signer, replace=sending.replace)
    if sending.remote is not None:
        try:
            push_tag(repo, sending.remote, request.name, replace=sending.replace)
        except UsageProblem as error:
            error.next_step = f"the tag is made; git push {sending.remote} refs/tags/{request.name}"
            raise
    out = printer()
    out.document(
        {
            "tag": request.name,
            "object": made,
            "user": user,
            "fingerprint": signer.public.fingerprint,
            "digest": digest,
            "statement": request.line,
            "checked": page.basis.checked if page is not None else None,
            "pushedTo": sending.remote,
        }
    )
    out.mark(GOOD, f"{request.line}")
    if sending.remote is None:
        out.mark(NOTE, f"next: git push origin refs/tags/{request.name}")
    else:
        out.mark(GOOD, f"pushed {request.name} to {sending.remote}")
    return Exit.OK
