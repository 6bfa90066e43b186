"""Choose the basis of ``plan`` and ``approve``: an attested Coordinator if one is given, else this clone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.cli.enforced import remember
from marbleops.cli.errors import CommandError
from marbleops.cli.exits import Exit
from marbleops.cli.preview import Basis, known_from, offline_basis, online_basis

if TYPE_CHECKING:
    from marbleops.cli.git import Repository
    from marbleops.cli.options import TrustOptions
    from marbleops.manifest.model import Manifest


def choose_basis(
    repository: Repository, path: str, manifest: Manifest, trust: TrustOptions, *, strict: bool
) -> Basis:
    """Return what *manifest* is compared with.

    An attested answer is remembered in the clone. With *strict* the candidate must name what is enforced: a
    person who is about to sign must not see the diff against something else.

    Raises:
        CommandError: *strict*, and ``Previous`` is not what the Coordinator enforces.
        UsageProblem: the clone does not hold the base.
        UntrustedCoordinator, CoordinatorUnreachable: as the client says.
    """
    if not trust.named:
        return offline_basis(repository, path, manifest)
    from marbleops.cli.trust import attested_client

    with attested_client(trust) as client:
        enforced = client.enforced()
    if enforced is not None:
        remember(repository, known_from(enforced, path), raw=enforced.manifest.raw)
    previous = manifest.gitops.previous if manifest.gitops is not None else None
    actual = enforced.manifest.digest if enforced is not None else None
    if strict and previous != actual:
        raise CommandError(
            f"the manifest replaces {previous or 'nothing'}, but {actual or 'nothing'} is enforced",
            exit_code=Exit.REFUSED,
            where=path,
            next_step="set GitOps.Version and GitOps.Previous anew; marbleops verify shows what is enforced",
        )
    return online_basis(enforced)
