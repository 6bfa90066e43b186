"""The use cases. Each takes one snapshot of the state, decides, and commits or refuses.

Every method is synchronous and runs in the process's one executor; the edges (REST, gitops, gRPC) only
translate. Whether a signed change may happen is ``approval.decide``'s word alone. The calls of MarbleRun's
owners are in ``owners``, those of marbles in ``marbles``, recovery in ``recovering``.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from coordinator.domain import history, update
from coordinator.domain.access import check_users
from coordinator.domain.history import Shelf
from coordinator.domain.phase import MESSAGES, Phase
from coordinator.domain.pki import sign
from coordinator.domain.support import check_supported
from coordinator.errors import (
    FeatureDisabledError,
    ForbiddenError,
    GitOpsNotEnabledError,
    ManifestRefusedError,
    NotAvailableError,
    NotSupportedYetError,
    QuoteRefusedError,
    WrongPhaseError,
)
from coordinator.marbles import Marbles
from coordinator.owners import Owners
from coordinator.recovering import Recovery
from marbleops.approval.decide import decide
from marbleops.approval.decision import Decision, Outcome, Refusal, applied
from marbleops.approval.reasons import Reason
from marbleops.approval.record import head_message
from marbleops.attestation.verdict import Code
from marbleops.manifest.check import check
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coordinator.core import Core, Options
    from coordinator.domain.state import Enforcement, Source, State
    from coordinator.ports import ActivationEvent
    from marbleops.approval.evidence import Piece
    from marbleops.manifest.model import Manifest

HISTORY_PAGE = 100
HISTORY_PAGE_BYTES = 4 * 1024 * 1024
"""A page ends here too, with at least one record: the TLS edge drops whom it cannot hand 16 MiB to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """What anyone may know at once."""

    phase: Phase
    message: str
    deployment: Digest | None
    version: int | None
    digest: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteView:
    """The certificates, a quote, and the state that stands in the second half of its report data."""

    chain_pem: str
    quote: bytes
    phase: Phase
    manifest: Digest | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedQuote:
    """A quote the Coordinator vouches for: its TCB status, and a signature by the root key (section 9)."""

    tcb_status: str
    signature: bytes


class Service:
    """The Coordinator, without its edges."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.owners = Owners(core)
        self.marbles = Marbles(core)
        self.recovery = Recovery(core)
        core.quote(
            core.snapshot(), None
        )  # a platform that cannot quote is found out now, not by the first client

    @property
    def options(self) -> Options:
        """What the start configuration decided."""
        return self._core.options

    def snapshot(self) -> State:
        """Return the current state; a request that needs several values takes one snapshot."""
        return self._core.snapshot()

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

    def quote(self, nonce: bytes | None) -> QuoteView:
        """Return the certificate chain and a quote that binds root and state to *nonce*, if given."""
        state = self.snapshot()
        return QuoteView(
            chain_pem=state.authorities.chain_pem,
            quote=self._core.quote(state, nonce),
            phase=state.phase,
            manifest=None if state.enforcement is None else state.enforcement.manifest.digest,
        )

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
        return self._core.enforcement()

    def update_log(self) -> tuple[str, ...]:
        """Return MarbleRun's update log.

        Raises:
            WrongPhaseError: nothing is enforced.
        """
        enforcement = self._core.running().enforcement
        assert enforcement is not None
        return enforcement.log

    def events(self) -> tuple[ActivationEvent, ...]:
        """Return the newest activations, oldest first."""
        return self._core.ports.observer.events()

    def require_feature(self, feature: str) -> None:
        """Let pass what the manifest's feature gates open (section 9).

        Raises:
            FeatureDisabledError: this one is closed, or nothing is enforced.
        """
        enforcement = self.snapshot().enforcement
        gates = enforcement.manifest.config.feature_gates if enforcement else ()
        if feature.lower() not in {gate.lower() for gate in gates}:
            raise FeatureDisabledError(feature)

    def sign_quote(self, quote: bytes) -> SignedQuote:
        """Verify any SGX quote and sign what was found; TCB levels are told, not judged (section 9).

        Raises:
            QuoteRefusedError: it does not verify.
        """
        verdict = self._core.ports.verifier.verify(quote, self._core.ports.clock.now())
        if verdict.code not in {Code.OK, Code.TCB_REVOKED} or verdict.status is None:
            raise QuoteRefusedError(f"{verdict.code}: {verdict.detail}")
        message = base64.b64encode(quote) + verdict.status.value.encode()
        root = self.snapshot().authorities.root
        return SignedQuote(
            tcb_status=verdict.status.value, signature=sign(root, message, algorithm=hashes.SHA256())
        )

    # A manifest without GitOps: MarbleRun's way, once.

    def set_manifest(self, raw: bytes) -> Mapping[str, bytes]:
        """Enforce a first manifest that has no GitOps section; return the encrypted recovery secrets by name.

        In recovery it begins a new deployment; the old state is set aside (6.1).

        Raises:
            WrongPhaseError: a manifest was set before, or the state that waits for recovery is one of signed
            commits. ManifestRefusedError: the manifest is wrong, or it has a GitOps section.
            NotSupportedYetError: it needs a feature of a later version.
        """
        with self._core.deciding:
            if self.snapshot().phase is Phase.ACCEPTING_MARBLES:
                raise WrongPhaseError
            manifest = self._read_first(raw)
            keys = self._core.keys(None, manifest)
            assert keys is not None
            if self.snapshot().phase is Phase.RECOVERY:
                self.recovery.reset()
            state = self.snapshot()
            making = self._core.making()
            transition = update.manifest_set(state, manifest, making=making, recovery=keys.secrets)
            self._core.guard.commit(state, transition, keys=keys)
            return keys.secrets

    def _read_first(self, raw: bytes) -> Manifest:
        try:
            manifest = parse(raw, strictness=Strictness.MARBLERUN)
        except ManifestError as error:
            raise ManifestRefusedError(f"unmarshaling manifest: {error.statement}") from error
        try:
            check(manifest)
        except ManifestError as error:
            raise ManifestRefusedError(f"checking manifest: {error.statement}") from error
        if manifest.gitops is not None:
            raise ManifestRefusedError(
                "a manifest with a GitOps section is set by POST /api/v2/gitops/update with signed "
                "approvals, never by this call"
            )
        self._check_genesis_digest(manifest.digest)
        check_supported(manifest)
        check_users(manifest)
        return manifest

    # Signed changes.

    def update(
        self, raw: bytes, pieces: Sequence[Piece], *, dry_run: bool, source: Source | None
    ) -> Decision:
        """Decide on *raw* with the evidence in *pieces*, and enforce it if that is enough.

        Raises:
            GitOpsNotEnabledError: something without a GitOps section is enforced, or the state waits for
            recovery. ConflictError: the state changed in between.
        """
        with self._core.deciding:
            state = self.snapshot()
            _check_gitops_open(state)
            decision = self._decide(state, raw, pieces)
            if dry_run or decision.outcome is not Outcome.WOULD_APPLY:
                return decision
            assert decision.manifest is not None
            before = state.enforcement.manifest if state.enforcement else None
            keys = self._core.keys(before, decision.manifest)
            transition = update.transition_of(
                state,
                decision,
                pieces,
                source=source,
                making=self._core.making(),
                recovery=keys.secrets if keys else None,
            )
            self._core.guard.commit(state, transition, keys=keys)
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
        piece = self._core.guard.vault.sealed.get(history.blob_name(Shelf.EVIDENCE, digest))
        if piece is None or Digest.of(piece) != digest:
            raise NotAvailableError("no evidence with this digest")
        return piece

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


_RECOVERY_WORDS = (
    "the saved state waits for recovery: POST /api/v2/recover takes the recovery secrets "
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
