"""The first step: refs into a bare cache, and the Coordinator's state over an attested connection.

Both sides are read afresh in every run. Fetching happens in a child process (``fetch_child``); here we only
read raw objects of the cache it filled.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler import limits
from reconciler.evidence import APPROVALS_PREFIX, TAG_PREFIX
from reconciler.fetch_child import FetchAnswer, FetchQuestion, run_child
from reconciler.outcome import Step, Stop, retrying, stalled
from reconciler.ports import Coordinator, Phase
from reconciler.repository import Repository, RepositoryError

if TYPE_CHECKING:
    from marbleops.approval.enforced import Enforced
    from reconciler.settings import RepositorySettings, Target
    from reconciler.state import Acceptance, TargetState
    from reconciler.system import System

_STALLED = {
    "certificate": "CertificateRefused",
    "authentication": "AuthenticationRequired",
    "not-found": "RepositoryNotFound",
    "no-branch": "BranchNotFound",
    "unsupported": "UnsupportedRepository",
    "too-large": "RepositoryTooLarge",
}
_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The tip of the branch, and the cache that holds everything reachable from it."""

    url: str
    branch: str
    commit: str
    repository: Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """What an attested Coordinator says of itself. ``enforced`` is ``None`` while it waits for a manifest."""

    root: str
    simulation: bool
    enforced: Enforced | None


def fetch(target: Target, *, lineage: str | None) -> Revision:
    """Bring the cache up to date with the branch and with the approval tags of *lineage* (``None``: of any).

    Raises:
        Stop: *Retrying* for what may heal, *Stalled* for a repository, branch or certificate that is wrong.
    """
    prefix = f"{TAG_PREFIX}{lineage}/" if lineage else TAG_PREFIX
    source = target.repository
    target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    question = FetchQuestion(
        url=source.url if source.local is None else str(source.local),
        cache=str(target.cache),
        branch=source.branch,
        prefixes=(prefix, APPROVALS_PREFIX),
        ca=None if source.ca is None else str(source.ca),
        proposals=source.proposals,
    )
    answer = _ask_child(question)
    if answer.failure in _STALLED:
        raise stalled(Step.FETCH, _STALLED[answer.failure], answer.message)
    if answer.failure:
        raise retrying(Step.FETCH, "FetchFailed", answer.message)
    try:
        return _revision(target, source)
    except RepositoryError as error:
        raise retrying(Step.FETCH, "CacheDamaged", str(error)) from error


def observe(
    coordinator: Coordinator, state: TargetState, *, acceptance: Acceptance | None, system: System
) -> ObservedState:
    """Attest the Coordinator, check that it is the one we know, and read what it enforces.

    Raises:
        Stop: *Stalled* ``CoordinatorChanged`` until a person accepts it.
        CoordinatorUnavailableError, CoordinatorUntrustedError, CoordinatorRefusedError: from the connection.
    """
    identity = coordinator.attest(nonce=system.nonce(), at=system.now())
    accepted = acceptance is not None and acceptance.root == identity.root
    if state.root not in {None, identity.root} and not accepted:
        raise _changed(f"root {identity.root} answers, {state.root} was known", identity.root)
    phase = coordinator.phase()
    if phase is Phase.RECOVERY:
        raise _changed("the Coordinator is in recovery", identity.root)
    enforced = coordinator.enforced() if phase is Phase.ENFORCING else None
    if phase is Phase.ENFORCING and enforced is None:
        raise stalled(
            Step.FETCH, "gitops-not-enabled", "the Coordinator enforces a manifest without a GitOps section"
        )
    if not accepted:
        _check_memory(enforced, state, identity.root)
    return ObservedState(root=identity.root, simulation=identity.trust_domain != "intel", enforced=enforced)


class CoordinatorChanged(Stop):
    """A Coordinator that is not the one known; ``root`` is what a person may accept."""

    root: str = ""


def _changed(message: str, root: str) -> CoordinatorChanged:
    base = stalled(Step.FETCH, "CoordinatorChanged", f"{message}; see `marbleops target accept`")
    changed = CoordinatorChanged(base.step, base.outcome, base.reason, base.message)
    changed.root = root
    return changed


def _check_memory(enforced: Enforced | None, state: TargetState, root: str) -> None:
    if not state.enforced_before:
        return
    if enforced is None:
        raise _changed(f"it waits for a manifest, version {state.version} was enforced before", root)
    gitops = enforced.manifest.gitops
    assert gitops is not None, "Enforced has checked it"
    if state.deployment is not None and str(enforced.deployment) != state.deployment:
        raise _changed(f"deployment {enforced.deployment}, known is {state.deployment}", root)
    if state.version is not None and gitops.version < state.version:
        raise _changed(f"version {gitops.version} is enforced, version {state.version} was before", root)


def _revision(target: Target, source: RepositorySettings) -> Revision:
    repository = Repository.open(target.cache)
    commit = repository.reference(f"refs/heads/{source.branch}")
    if commit is None:
        raise RepositoryError(f"the cache lost branch {source.branch}")
    repository.commit(commit)
    return Revision(url=source.url, branch=source.branch, commit=commit, repository=repository)


def _ask_child(question: FetchQuestion) -> FetchAnswer:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "reconciler.fetch_child"])
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=run_child, args=(question.encode(), sender), daemon=True, name="fetch")
    child.start()
    sender.close()
    try:
        if not receiver.poll(limits.FETCH_SECONDS):
            return _failure(f"no answer within {limits.FETCH_SECONDS:.0f} s")
        return FetchAnswer.decode(receiver.recv_bytes(_ANSWER_BYTES))
    except (EOFError, OSError, ValueError):
        return _failure("the fetching process died")
    finally:
        receiver.close()
        child.kill()
        child.join()
        child.close()


def _failure(message: str) -> FetchAnswer:
    return FetchAnswer(failure="unreachable", message=message, changed=0)
