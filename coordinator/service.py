"""The use cases. Each takes one snapshot of the state, decides, and commits or refuses.

Every method is synchronous and runs in the process's one executor; the edges (REST, gitops, gRPC) only
translate. Whether a signed change may happen is ``approval.decide``'s word alone.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from coordinator.domain import activation, history, update
from coordinator.domain.history import Shelf
from coordinator.domain.making import Making
from coordinator.domain.phase import MESSAGES, Phase
from coordinator.domain.pki import sign
from coordinator.domain.support import check_supported
from coordinator.errors import (
    ConflictError,
    ForbiddenError,
    GitOpsNotEnabledError,
    ManifestNotSetError,
    ManifestRefusedError,
    MarblePhaseError,
    NotAvailableError,
    NotSupportedYetError,
    WrongPhaseError,
)
from marbleops.approval.decide import decide
from marbleops.approval.decision import Decision, Outcome, Refusal, applied
from marbleops.approval.reasons import Reason
from marbleops.approval.record import head_message
from marbleops.attestation.binding import coordinator_report_data
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coordinator.domain.activation import ActivationRequest, RenderedParameters
    from coordinator.domain.state import Enforcement, Ledger, Source, State
    from coordinator.guard import Guard
    from coordinator.ports import Clock, Entropy, QuoteIssuer, QuoteVerifier, Store
    from marbleops.approval.evidence import Piece
    from marbleops.attestation.verdict import Verdict

HISTORY_PAGE = 100
HISTORY_PAGE_BYTES = 4 * 1024 * 1024
"""A page ends here too, with at least one record: the TLS edge drops whom it cannot hand 16 MiB to."""
_ACTIVATION_ATTEMPTS = 16
"""An update between admission and commit makes a marble's turn start over; so many in a row do not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the start configuration decides for good."""

    platform: str
    warnings: tuple[str, ...] = ()
    genesis_digest: Digest | None = None
    accept_empty_quotes: bool = False
    collateral: Callable[[], str] | None = None
    """Collateral of a simulated platform, for clients; None on a real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world, as the service sees it. ``evidence`` is the sealed store that holds evidence bytes."""

    issuer: QuoteIssuer
    verifier: QuoteVerifier
    clock: Clock
    entropy: Entropy
    sealed: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """What anyone may know at once."""

    phase: Phase
    message: str
    deployment: Digest | None
    version: int | None
    digest: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Part of the chain and its head, which the root key signs."""

    start: int
    records: tuple[bytes, ...]
    following: int | None
    deployment: Digest
    position: int
    head: Digest
    signature: bytes


class Service:
    """The Coordinator, without its edges."""

    def __init__(self, guard: Guard, ports: Ports, options: Options) -> None:
        self._guard = guard
        self._ports = ports
        self.options = options
        self._deciding = threading.Lock()
        # The root never changes while a process lives, so its quote is made once (marblerun-core 10.2).
        self._quote = ports.issuer.quote(
            coordinator_report_data(self.snapshot().authorities.root.certificate_der)
        )

    def snapshot(self) -> State:
        """Return the current state; a request that needs several values takes one snapshot."""
        return self._guard.current

    # What anyone may ask.

    def status(self) -> StatusView:
        """Say where the Coordinator stands."""
        state = self.snapshot()
        enforcement = state.enforcement
        gitops = enforcement.manifest.gitops if enforcement else None
        return StatusView(
            phase=state.phase,
            message=MESSAGES[state.phase],
            deployment=enforcement.deployment if enforcement else None,
            version=gitops.version if gitops else None,
            digest=enforcement.manifest.digest if enforcement else None,
        )

    def quote(self, nonce: bytes | None) -> tuple[str, bytes]:
        """Return the certificate chain and a quote that binds the root to *nonce*, if given."""
        authorities = self.snapshot().authorities
        if nonce is None:
            return authorities.chain_pem, self._quote
        report_data = coordinator_report_data(authorities.root.certificate_der, nonce)
        return authorities.chain_pem, self._ports.issuer.quote(report_data)

    def collateral(self) -> str:
        """Return the simulated platform's collateral.

        Raises:
            NotAvailableError: the platform is a real one; its collateral is Intel's to give.
        """
        if self.options.collateral is None:
            raise NotAvailableError("this Coordinator's platform is not simulated: ask Intel for collateral")
        return self.options.collateral()

    def enforcement(self) -> Enforcement:
        """Return what is enforced.

        Raises:
            ManifestNotSetError: nothing is.
        """
        enforcement = self.snapshot().enforcement
        if enforcement is None:
            raise ManifestNotSetError
        return enforcement

    def update_log(self) -> tuple[str, ...]:
        """Return MarbleRun's update log.

        Raises:
            WrongPhaseError: nothing is enforced.
        """
        enforcement = self.snapshot().enforcement
        if enforcement is None:
            raise WrongPhaseError
        return enforcement.log

    # A manifest without GitOps: MarbleRun's way, once.

    def set_manifest(self, raw: bytes) -> None:
        """Enforce a first manifest that has no GitOps section.

        Raises:
            WrongPhaseError: a manifest was set before, or the state waits for recovery.
            ManifestRefusedError: the manifest is wrong, or it has a GitOps section.
            NotSupportedYetError: it needs a feature of a later version.
        """
        with self._deciding:
            state = self.snapshot()
            if state.phase is not Phase.ACCEPTING_MANIFEST:
                raise WrongPhaseError(_RECOVERY_WORDS if state.phase is Phase.RECOVERY else "")
            try:
                manifest = load(raw, strictness=Strictness.MARBLERUN)
            except ManifestError as error:
                raise ManifestRefusedError(f"checking manifest: {error}") from error
            if manifest.gitops is not None:
                raise ManifestRefusedError(
                    "a manifest with a GitOps section is set by POST /api/v2/gitops/update with signed "
                    "approvals, never by this call"
                )
            self._check_genesis_digest(manifest.digest)
            check_supported(manifest)
            self._guard.commit(state, update.manifest_set(state, manifest, making=self._making()))

    # Signed changes.

    def update(
        self, raw: bytes, pieces: Sequence[Piece], *, dry_run: bool, source: Source | None
    ) -> Decision:
        """Decide on *raw* with the evidence in *pieces*, and enforce it if that is enough.

        Raises:
            GitOpsNotEnabledError: something without a GitOps section is enforced, or the state waits for
            recovery. ConflictError: the state changed in between.
        """
        with self._deciding:
            state = self.snapshot()
            _check_gitops_open(state)
            decision = self._decide(state, raw, pieces)
            if dry_run or decision.outcome is not Outcome.WOULD_APPLY:
                return decision
            transition = update.transition_of(state, decision, pieces, source=source, making=self._making())
            self._guard.commit(state, transition)
            return applied(decision)

    def gitops_state(self) -> State:
        """Return a snapshot in which a GitOps manifest is enforced.

        Raises:
            GitOpsNotEnabledError: there is none.
        """
        state = self.snapshot()
        if state.enforced is None:
            raise GitOpsNotEnabledError(_not_enabled_words(state))
        return state

    def history(self, start: int) -> HistoryPage:
        """Return at most a page of records from *start*, with the signed head.

        Raises:
            GitOpsNotEnabledError: no GitOps manifest is enforced.
        """
        state = self.gitops_state()
        enforcement = state.enforcement
        assert enforcement is not None
        assert enforcement.deployment is not None
        records = _page(enforcement.records[start : start + HISTORY_PAGE])
        end = start + len(records)
        head = enforcement.head
        message = head_message(deployment=enforcement.deployment, position=head.position, head=head.hash)
        return HistoryPage(
            start=start,
            records=records,
            following=end if records and end < len(enforcement.records) else None,
            deployment=enforcement.deployment,
            position=head.position,
            head=head.hash,
            signature=sign(state.authorities.root, message, algorithm=hashes.SHA384()),
        )

    def evidence(self, digest: Digest) -> bytes:
        """Return the bytes of one piece of evidence.

        Raises:
            GitOpsNotEnabledError: no GitOps manifest is enforced.
            ForbiddenError: the enforced manifest does not make evidence public.
            NotAvailableError: no such piece.
        """
        state = self.gitops_state()
        assert state.enforcement is not None
        gitops = state.enforcement.manifest.gitops
        if gitops is None or not gitops.public_evidence:
            raise ForbiddenError(
                "the enforced manifest does not make evidence public (GitOps.PublicEvidence)"
            )
        piece = self._ports.sealed.get(history.blob_name(Shelf.EVIDENCE, digest))
        if piece is None or Digest.of(piece) != digest:
            raise NotAvailableError("no evidence with this digest")
        return piece

    # Marbles.

    def activate(self, request: ActivationRequest, evidence: bytes) -> RenderedParameters:
        """Admit a marble and give it its certificate, key, secrets, files, environment and arguments.

        What the marble uses up is durable before the answer exists.

        Raises:
            MarblePhaseError, MarbleRefusedError, InvalidMarbleRequestError, ActivationFailedError: see
            ``activation``. ConflictError: the manifest kept changing.
        """
        if self.snapshot().enforcement is None:
            raise MarblePhaseError
        verdict = self._verdict(evidence)
        for _ in range(_ACTIVATION_ATTEMPTS):
            state = self.snapshot()
            admission = activation.admit(state, request, verdict)
            rendered = activation.parameters(state, admission, csr=request.csr, making=self._making())
            try:
                self._guard.commit_ledger(state, _counting(admission))
            except ConflictError:
                continue
            return rendered
        raise ConflictError

    def _verdict(self, evidence: bytes) -> Verdict | None:
        if not evidence and self.options.accept_empty_quotes:
            return None
        return self._ports.verifier.verify(evidence, self._ports.clock.now())

    def _decide(self, state: State, raw: bytes, pieces: Sequence[Piece]) -> Decision:
        decision = decide(enforced=state.enforced, raw=raw, evidence=pieces)
        if decision.outcome is not Outcome.WOULD_APPLY:
            return decision
        assert decision.manifest is not None
        try:
            if state.enforcement is None:
                self._check_genesis_digest(decision.digest)
            check_supported(decision.manifest)
        except (ManifestRefusedError, NotSupportedYetError) as error:
            refusal = Refusal(reason=Reason.MANIFEST_INVALID, message=str(error))
            return replace(decision, outcome=Outcome.REFUSED, refusals=(refusal,), summary=str(error))
        return decision

    def _check_genesis_digest(self, digest: Digest) -> None:
        wanted = self.options.genesis_digest
        if wanted is not None and digest != wanted:
            raise ManifestRefusedError(
                f"EDG_COORDINATOR_GENESIS_DIGEST asks for {wanted} as the first manifest, this is {digest}"
            )

    def _making(self) -> Making:
        return Making(at=self._ports.clock.now(), random=self._ports.entropy.bytes)


_RECOVERY_WORDS = (
    "the saved state was sealed by another enclave identity; recovery is not supported yet "
    "(EDG_COORDINATOR_ALLOW_RESET=1 sets the old state aside and starts fresh)"
)


def _page(records: tuple[bytes, ...]) -> tuple[bytes, ...]:
    sizes = itertools.accumulate(len(record) for record in records)
    return records[: max(1, sum(size <= HISTORY_PAGE_BYTES for size in sizes))]


def _check_gitops_open(state: State) -> None:
    """Take a gitops update when fresh, or when a GitOps manifest is enforced (approvals.md section 3)."""
    if state.phase is Phase.RECOVERY or (state.enforcement is not None and state.enforced is None):
        raise GitOpsNotEnabledError(_not_enabled_words(state))


def _not_enabled_words(state: State) -> str:
    if state.phase is Phase.RECOVERY:
        return _RECOVERY_WORDS
    if state.enforcement is None:
        return "no manifest is enforced yet; POST /api/v2/gitops/update sets the first one"
    return "the enforced manifest has no GitOps section and cannot adopt one; start a new deployment"


def _counting(
    admission: activation.Admission,
) -> Callable[[Ledger], Ledger]:
    return lambda ledger: activation.count(ledger, admission)
