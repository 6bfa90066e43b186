"""One reconcile, from git push to enforced manifest. Read this page first.

    observe, fetch -> [verify -> validate -> plan -> apply -> attest] for each version, oldest first -> status

Each step turns one frozen type into the next: ``Revision`` and ``ObservedState``, ``VerifiedRevision``,
``DesiredState``, ``Plan``, ``Applied``, ``Attested``, ``Report``. A step that cannot go on raises ``Stop``;
whatever happens ends in a report. Nothing is kept between runs but the few facts of ``state``: a run that
was killed is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reconciler import limits
from reconciler.apply import apply
from reconciler.attest import Attested, attest
from reconciler.disk import DiskError
from reconciler.evidence import Dropped, read_directory
from reconciler.fetch import CoordinatorChanged, ObservedState, Revision, fetch, observe
from reconciler.history import Chain, Draft, PathHistory, find_chain, walk
from reconciler.outcome import Outcome, Step, Stop, retrying, stalled
from reconciler.plan import make_plan
from reconciler.ports import (
    Coordinator,
    CoordinatorRefusedError,
    CoordinatorUnavailableError,
    CoordinatorUntrustedError,
)
from reconciler.repository import PathError, RepositoryError
from reconciler.state import TargetState, drop_acceptance, read_acceptance, read_state, write_state
from reconciler.status import Candidate, Report
from reconciler.validate import validate
from reconciler.verify import refusal, verify

if TYPE_CHECKING:
    from marbleops.approval.decision import Decision
    from marbleops.approval.enforced import Enforced
    from reconciler.settings import Target
    from reconciler.system import System

DEFAULT_PATH = "manifest.json"
"""Where the first manifest is looked for if the target names no path."""

Note = Callable[..., None]
"""Receives a finished step's name and its values, for the log."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """What one run has found out so far; it outlives the step that fails."""

    target: Target
    coordinator: Coordinator
    system: System
    note: Note
    state: TargetState
    step: Step = Step.FETCH
    commit: str | None = None
    root: str | None = None
    simulation: bool = False
    dropped: Dropped = field(default_factory=Dropped)
    decision: Decision | None = None
    attested: Attested | None = None
    candidates: list[Candidate] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def reconcile(target: Target, *, coordinator: Coordinator, system: System, note: Note) -> Report:
    """Bring *target*'s Coordinator to what the branch asks for, as far as it is approved.

    Never raises for what a host, a repository, a network or a Coordinator does.

    Raises:
        OSError: our own disk fails.
    """
    try:
        state = read_state(target)
    except DiskError as error:
        return _unreadable(target, system, str(error))
    run = _Run(target=target, coordinator=coordinator, system=system, note=note, state=state)
    try:
        _reconcile(run)
    except Stop as stop:
        return _stopped(run, stop)
    except CoordinatorUnavailableError as error:
        return _stopped(run, retrying(run.step, "CoordinatorUnavailable", str(error)))
    except CoordinatorUntrustedError as error:
        return _stopped(run, stalled(run.step, "CoordinatorUntrusted", f"{error.reason}: {error}"))
    except CoordinatorRefusedError as error:
        return _stopped(run, stalled(run.step, "CoordinatorRefused", str(error)))
    except RepositoryError as error:
        return _stopped(run, retrying(run.step, "CacheDamaged", str(error)))
    except PathError as error:
        return _stopped(run, stalled(Step.FETCH, "InvalidPath", str(error)))
    return _enforced(run)


def _reconcile(run: _Run) -> None:
    observed = _observe(run)
    enforced = observed.enforced
    path = _path(run.target, enforced)
    lineage = enforced.manifest.gitops.lineage if enforced and enforced.manifest.gitops else None
    revision = fetch(run.target, lineage=lineage)
    run.commit = revision.commit
    run.note(Step.FETCH, commit=revision.commit, root=observed.root)
    run.step = Step.VERIFY
    if run.target.approvals is not None:
        run.dropped = read_directory(run.target.approvals)
        run.warnings.extend(run.dropped.complaints)
    history = walk(revision.repository, tip=revision.commit, path=path, enforced_version=_version(enforced))
    if history.truncated:
        run.warnings.append(f"the history was cut off after {limits.MAX_WALK} commits")
    chain = find_chain(history, enforced.manifest.digest if enforced else None)
    _judge_superseded(run, revision, chain, enforced, path)
    for position, draft in enumerate(chain.drafts[: limits.MAX_CHAIN]):
        enforced = _one(run, revision, draft, enforced, path, later=chain.drafts[position + 1 :])
    if len(chain.drafts) > limits.MAX_CHAIN:
        raise retrying(Step.APPLY, "Progressing", "more versions follow")
    if not chain.drafts:
        _prove(run, history, observed)


def _one(
    run: _Run,
    revision: Revision,
    draft: Draft,
    enforced: Enforced | None,
    path: str,
    *,
    later: tuple[Draft, ...],
) -> Enforced:
    """Take one version through the steps and remember it; returns what is enforced then."""
    try:
        proof, now = _steps(run, revision, draft, enforced, path)
    except Stop as stop:
        run.candidates.append(_candidate(draft, stop, run.decision))
        run.candidates.extend(_behind(one, draft, stop) for one in later)
        raise
    run.attested = proof
    _remember(run, proof, draft.commit)
    run.candidates.append(_done(draft, run.decision))
    return now


def _steps(
    run: _Run, revision: Revision, draft: Draft, enforced: Enforced | None, path: str
) -> tuple[Attested, Enforced]:
    run.step = Step.VERIFY
    dropped = run.dropped.pieces
    verified, decision = verify(
        revision.repository, draft, path=path, enforced=enforced, tip=revision.commit, dropped=dropped
    )
    run.decision = decision
    if verified is None:
        raise refusal(decision)
    run.note(Step.VERIFY, version=decision.version, approvals=[row.user for row in decision.approvals])

    run.step = Step.VALIDATE
    desired = validate(verified)
    run.note(Step.VALIDATE, digest=str(draft.digest))

    run.step = Step.PLAN
    base = enforced.manifest if enforced else None
    plan = make_plan(base=base, candidate=desired.manifest, decision=decision)
    run.note(Step.PLAN, change=plan.change_class, edits=len(plan.edits), weakens=list(plan.weakens))

    run.step = Step.APPLY
    applied = apply(desired, plan, coordinator=run.coordinator, url=revision.url, branch=revision.branch)
    run.decision = applied.decision
    run.note(Step.APPLY, outcome=applied.decision.outcome.value, version=desired.gitops.version)

    run.step = Step.ATTEST
    assert run.root is not None, "observe has set it"
    proof, now = attest(applied, root=run.root, coordinator=run.coordinator, system=run.system)
    run.note(Step.ATTEST, digest=str(proof.digest), deployment=str(proof.deployment))
    return proof, now


def _observe(run: _Run) -> ObservedState:
    try:
        acceptance = read_acceptance(run.target)
    except DiskError as error:
        raise stalled(Step.FETCH, "InvalidState", str(error)) from error
    try:
        observed = observe(run.coordinator, run.state, acceptance=acceptance, system=run.system)
    except CoordinatorChanged as changed:
        run.root = changed.root
        raise
    run.root, run.simulation = observed.root, observed.simulation
    if acceptance is not None and acceptance.root == observed.root:
        kept = TargetState(root=observed.root, generation=run.state.generation, settings=run.state.settings)
        run.state = kept
        write_state(run.target, kept)
        drop_acceptance(run.target)
    if observed.simulation:
        run.warnings.append("INSECURE: the Coordinator runs on the simulation platform")
    return observed


def _prove(run: _Run, history: PathHistory, observed: ObservedState) -> None:
    """Take the observation, which was over a fresh quote, as the proof that the tip is enforced."""
    enforced = observed.enforced
    assert enforced is not None, "an empty chain means the tip is enforced"
    run.step = Step.ATTEST
    run.attested = Attested(
        digest=enforced.manifest.digest,
        version=_version(enforced) or 0,
        deployment=enforced.deployment,
        root=observed.root,
        at=run.system.now(),
    )
    run.note(Step.ATTEST, digest=str(enforced.manifest.digest), deployment=str(enforced.deployment))
    _remember(run, run.attested, history.tip.commit)
    run.candidates.append(_done(history.tip, None))


def _judge_superseded(
    run: _Run, revision: Revision, chain: Chain, enforced: Enforced | None, path: str
) -> None:
    for draft in chain.superseded[: limits.MAX_SUPERSEDED]:
        words = "another manifest with the same Previous is nearer to the tip"
        if draft.previous == (enforced.manifest.digest if enforced else None):
            verified, _ = verify(
                revision.repository,
                draft,
                path=path,
                enforced=enforced,
                tip=revision.commit,
                dropped=run.dropped.pieces,
            )
            if verified is not None:
                words += "; it has enough approvals: withdraw it"
                run.warnings.append(
                    f"commit {draft.commit[:12]} is superseded and has enough approvals: withdraw it"
                )
        stop = Stop(Step.VERIFY, Outcome.SUPERSEDED, "superseded", words)
        run.candidates.append(_candidate(draft, stop, None))


def _path(target: Target, enforced: Enforced | None) -> str:
    gitops = enforced.manifest.gitops if enforced else None
    if gitops is not None:
        return gitops.path
    return target.path or DEFAULT_PATH


def _version(enforced: Enforced | None) -> int | None:
    gitops = enforced.manifest.gitops if enforced else None
    return gitops.version if gitops else None


def _remember(run: _Run, proof: Attested, commit: str) -> None:
    state = replace(
        run.state,
        root=proof.root,
        deployment=str(proof.deployment),
        version=proof.version,
        digest=str(proof.digest),
        commit=run.state.commit if run.state.digest == str(proof.digest) else commit,
    )
    if state != run.state or not (run.target.folder / "state.json").exists():
        write_state(run.target, state)
        run.state = state


def _candidate(draft: Draft, stop: Stop, decision: Decision | None) -> Candidate:
    return Candidate(
        commits=draft.commits,
        digest=str(draft.digest),
        version=draft.version,
        outcome=stop.outcome,
        reason=stop.reason,
        message=stop.message,
        step=stop.step,
        refusals=stop.refusals,
        decision=decision,
    )


def _behind(draft: Draft, first: Draft, stop: Stop) -> Candidate:
    """Say that a later version of a chain waits for the earlier one that did not pass."""
    outcome = stop.outcome if stop.outcome in {Outcome.RETRYING, Outcome.STALLED} else Outcome.WAITING
    words = f"version {first.version} comes first: {stop.message}"
    behind = Stop(stop.step, outcome, stop.reason, words)
    return _candidate(draft, behind, None)


def _done(draft: Draft, decision: Decision | None) -> Candidate:
    stop = Stop(Step.ATTEST, Outcome.ENFORCED, "Succeeded", f"version {draft.version} is enforced")
    return _candidate(draft, stop, decision)


def _enforced(run: _Run) -> Report:
    version = run.attested.version if run.attested else run.state.version
    stop = Stop(Step.ATTEST, Outcome.ENFORCED, "Succeeded", f"version {version} is enforced")
    return _report(run, stop)


def _stopped(run: _Run, stop: Stop) -> Report:
    if run.commit is not None and not any(run.commit in row.commits for row in run.candidates):
        # Nothing of the tip was judged; `wait` still wants to know why.
        row = Candidate(
            commits=(run.commit,),
            digest="",
            version=None,
            outcome=stop.outcome,
            reason=stop.reason,
            message=stop.message,
            step=stop.step,
        )
        run.candidates.append(row)
    return _report(run, stop)


def _report(run: _Run, stop: Stop) -> Report:
    return Report(
        target=run.target.name,
        generation=run.state.generation,
        at=run.system.now(),
        step=stop.step,
        outcome=stop.outcome,
        reason=stop.reason,
        message=stop.message,
        commit=run.commit,
        decision=run.decision,
        refusals=stop.refusals,
        attested=run.attested,
        enforced=_enforced_fields(run.state),
        observed_root=run.root,
        simulation=run.simulation,
        candidates=tuple(run.candidates),
        warnings=tuple(run.warnings),
    )


def _enforced_fields(state: TargetState) -> dict[str, Any] | None:
    if not state.enforced_before:
        return None
    return {
        "version": state.version,
        "digest": state.digest,
        "commit": state.commit,
        "deployment": state.deployment,
        "root": state.root,
    }


def _unreadable(target: Target, system: System, message: str) -> Report:
    return Report(
        target=target.name,
        generation=1,
        at=system.now(),
        step=Step.FETCH,
        outcome=Outcome.STALLED,
        reason="InvalidState",
        message=message,
    )
