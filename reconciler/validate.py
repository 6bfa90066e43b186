"""Check the shape of what was approved: strict JSON, the schema, cross-field rules, and this target's path.

``decide`` has judged the same bytes; this step turns them into a ``DesiredState`` that cannot be wrong, and
adds what only the reconciler knows: where in the repository the manifest was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.approval.decision import Refusal
from marbleops.approval.reasons import Reason
from marbleops.manifest.errors import Issue, ManifestError
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.position import position_of
from reconciler.outcome import Outcome, Step, Stop

if TYPE_CHECKING:
    from marbleops.manifest.model import GitOps, Manifest
    from reconciler.verify import VerifiedRevision


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """A manifest that is approved and well formed, and where it belongs in the chain."""

    revision: VerifiedRevision
    manifest: Manifest
    gitops: GitOps


def validate(revision: VerifiedRevision) -> DesiredState:
    """Turn an approved revision into the state it asks for.

    Raises:
        Stop: *Refused*, with every issue, its path, line and column.
    """
    raw = revision.draft.raw
    try:
        manifest = load(raw, strictness=Strictness.STRICT)
    except ManifestError as error:
        raise _refused(tuple(map(refusal_of, error.issues))) from error
    if manifest.gitops is None:
        raise _refused(
            (Refusal(reason=Reason.LINEAGE_MISMATCH, message="the manifest has no GitOps section"),)
        )
    if manifest.gitops.version == 1 and manifest.gitops.path != revision.path:
        # Only the first manifest: a later one may move, and is looked for there once it is enforced.
        line, column = position_of(raw, ("GitOps", "Path")) or (None, None)
        words = f"says {manifest.gitops.path}, but the file is {revision.path}"
        wrong = Refusal(
            reason=Reason.MANIFEST_INVALID, message=words, path="GitOps.Path", line=line, column=column
        )
        raise _refused((wrong,))
    return DesiredState(revision=revision, manifest=manifest, gitops=manifest.gitops)


def refusal_of(issue: Issue) -> Refusal:
    """Write an issue of the manifest as a refusal."""
    message = f"{issue.message} ({issue.hint})" if issue.hint else issue.message
    return Refusal(
        reason=Reason(issue.code.value),
        message=message,
        path=issue.path,
        line=issue.line,
        column=issue.column,
    )


def _refused(refusals: tuple[Refusal, ...]) -> Stop:
    first = refusals[0]
    place = ":".join(str(number) for number in (first.line, first.column) if number is not None)
    head = " ".join(part for part in (place, first.path) if part)
    message = f"{head}: {first.message}" if head else first.message
    return Stop(Step.VALIDATE, Outcome.REFUSED, first.reason, message, refusals=refusals)
