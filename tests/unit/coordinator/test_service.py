"""The use cases over a store in memory: genesis, updates, restarts, crashes at every write, marbles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import SealingKeys
from coordinator.domain import activation as domain_activation
from coordinator.domain.making import Making
from coordinator.domain.phase import Phase
from coordinator.domain.state import Source, State
from coordinator.domain.update import manifest_set
from coordinator.errors import (
    ActivationFailedError,
    ConflictError,
    ForbiddenError,
    ForeignSealError,
    GitOpsNotEnabledError,
    InvalidMarbleRequestError,
    ManifestNotSetError,
    ManifestRefusedError,
    MarblePhaseError,
    MarbleRefusedError,
    NotAvailableError,
    NotSupportedYetError,
    StoreError,
    WrongPhaseError,
)
from coordinator.guard import Guard
from marbleops.approval.decision import ChangeClass, Outcome
from marbleops.approval.reasons import Reason
from marbleops.approval.record import verify_chain
from marbleops.manifest.digest import Digest
from marbleops.manifest.parse import Strictness, load
from tests.fakes import shop
from tests.fakes.crashing_store import CrashingStore, Moment
from tests.fakes.small_world import SmallWorld, activation, make_csr, marble_quote

if TYPE_CHECKING:
    from coordinator.service import Service


def test_fresh_coordinator_waits() -> None:
    """A fresh Coordinator gives status and quotes and has nothing else."""
    service = SmallWorld().open()
    assert service.status().phase is Phase.ACCEPTING_MANIFEST
    assert service.quote(None) != service.quote(b"nonce")
    for call in (service.gitops_state, lambda: service.history(0), lambda: service.evidence(Digest.of(b""))):
        with pytest.raises(GitOpsNotEnabledError):
            call()
    with pytest.raises(ManifestNotSetError):
        service.enforcement()
    with pytest.raises(WrongPhaseError):
        service.update_log()
    with pytest.raises(MarblePhaseError):
        service.marbles.activate(activation(), b"")
    with pytest.raises(NotAvailableError):
        service.collateral()


def test_genesis_is_enforced_and_recorded() -> None:
    """The record holds what was decided; the state enforces exactly the bytes that were sent."""
    service, raw = SmallWorld().enforce_genesis()
    enforcement = service.enforcement()
    assert enforcement.manifest.raw == raw
    (record,) = verify_chain(enforcement.records)
    assert (record.kind, record.change_class, record.version) == ("genesis", "genesis", 1)
    assert record.deployment == enforcement.deployment
    assert [approval.user for approval in record.approvals] == ["alice", "bob"]
    assert len(record.evidence) == 3
    assert service.status().deployment == enforcement.deployment


def test_genesis_digest_is_obeyed() -> None:
    """With EDG_COORDINATOR_GENESIS_DIGEST set, another first manifest is refused, on either path."""
    world = SmallWorld()
    world.options = replace(world.options, genesis_digest=Digest.of(b"another"))
    service, raw = world.open(), shop.manifest()
    decision = service.update(raw, shop.genesis_evidence(raw), dry_run=False, source=None)
    assert [refusal.reason for refusal in decision.refusals] == [Reason.MANIFEST_INVALID]
    assert "EDG_COORDINATOR_GENESIS_DIGEST" in decision.summary
    with pytest.raises(ManifestRefusedError, match="GENESIS_DIGEST"):
        service.set_manifest(shop.plain_manifest())
    assert service.status().phase is Phase.ACCEPTING_MANIFEST


def test_dry_run_changes_nothing() -> None:
    """A dry run decides and leaves the store empty."""
    world = SmallWorld()
    service, raw = world.open(), shop.manifest()
    decision = service.update(raw, shop.genesis_evidence(raw), dry_run=True, source=None)
    assert decision.outcome is Outcome.WOULD_APPLY
    assert world.store.list("") == ()


def test_unchanged_is_idempotent() -> None:
    """The enforced manifest again, with or without evidence, is unchanged and adds no record."""
    service, raw = SmallWorld().enforce_genesis()
    for pieces in ((), shop.genesis_evidence(raw)):
        assert service.update(raw, pieces, dry_run=False, source=None).outcome is Outcome.UNCHANGED
    assert len(service.enforcement().records) == 1


def test_unsupported_features_are_refused_when_set() -> None:
    """What no marble could be given is refused at set time, as a decision with its reason."""

    def change(made: dict[str, Any]) -> None:
        made["Secrets"]["web"] = {"Type": "cert-ecdsa", "Size": 255}

    world = SmallWorld()
    service, raw = world.open(), shop.manifest(change=change)
    decision = service.update(raw, shop.genesis_evidence(raw), dry_run=True, source=None)
    assert decision.outcome is Outcome.REFUSED
    assert "invalid secret size for cert-ecdsa secret web" in decision.summary
    with pytest.raises(NotSupportedYetError):
        service.set_manifest(
            b'{"Packages":{"p":{"Debug":true}},"Marbles":{"m":{"Package":"p"}},'
            b'"Config":{"FeatureGates":["AzureHSMSealing"]}}'
        )


def test_source_is_kept_for_the_latest_only() -> None:
    """The claim about the source survives a restart and goes with the next transition."""
    world = SmallWorld()
    service, first = world.open(), shop.manifest()
    source = Source(url="https://git.example", revision="main")
    service.update(first, shop.genesis_evidence(first), dry_run=False, source=source)
    assert world.open().enforcement().source == source
    second = _next(service, first)
    service.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
    assert service.enforcement().source is None


def test_marblerun_mode_is_set_once() -> None:
    """SetManifest works once and never for a GitOps manifest; gitops calls stay closed then."""
    world = SmallWorld()
    service = world.open()
    with pytest.raises(ManifestRefusedError, match="gitops/update"):
        service.set_manifest(shop.manifest())
    with pytest.raises(ManifestRefusedError):
        service.set_manifest(b"{}")
    service.set_manifest(shop.plain_manifest())
    with pytest.raises(WrongPhaseError):
        service.set_manifest(shop.plain_manifest())
    for opened in (service, world.open()):
        assert opened.status().phase is Phase.ACCEPTING_MARBLES
        assert opened.enforcement().deployment is None
        with pytest.raises(GitOpsNotEnabledError, match="cannot adopt one"):
            opened.update(shop.manifest(), (), dry_run=False, source=None)


def test_evidence_is_private_unless_published() -> None:
    """Evidence is given out only where GitOps.PublicEvidence says so, and only by its digest."""

    def publish(made: dict[str, Any]) -> None:
        made["GitOps"]["PublicEvidence"] = True

    private, _ = SmallWorld().enforce_genesis()
    with pytest.raises(ForbiddenError):
        private.evidence(Digest.of(b""))
    public, _ = SmallWorld().enforce_genesis(shop.manifest(change=publish))
    (record,) = verify_chain(public.enforcement().records)
    assert all(Digest.of(public.evidence(digest)) == digest for digest in record.evidence)
    with pytest.raises(NotAvailableError):
        public.evidence(Digest.of(b"never seen"))


def test_history_is_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages join to the whole chain; a position beyond the end is an empty last page."""
    monkeypatch.setattr("coordinator.service.HISTORY_PAGE", 2)
    service, current = SmallWorld().enforce_genesis()
    for number in range(2, 5):
        current = _next(service, current, version=number)
        service.update(current, shop.approvals(current, "alice", "bob"), dry_run=False, source=None)
    pages = [service.history(start) for start in (0, 2, 4)]
    assert [len(page.records) for page in pages] == [2, 2, 0]
    assert [page.following for page in pages] == [2, None, None]
    assert len(verify_chain(pages[0].records + pages[1].records)) == 4
    monkeypatch.setattr("coordinator.service.HISTORY_PAGE_BYTES", len(pages[0].records[0]))
    assert service.history(0).records == pages[0].records[:1]
    assert (service.history(1).following, len(service.history(1).records)) == (2, 1)


def test_restart_gives_the_same_state() -> None:
    """Replaying the store gives the state that was left, to the last value."""
    world = SmallWorld()
    service, first = world.enforce_genesis()
    service.marbles.activate(activation(csr=make_csr()), marble_quote(version=2))
    second = shop.manifest(2, previous=first, deployment=service.status().deployment, change=shop.bump(2))
    decision = service.update(second, shop.approvals(second, "alice"), dry_run=False, source=None)
    assert decision.change_class is ChangeClass.PACKAGE_BUMP
    assert _comparable(world.open().snapshot()) == _comparable(service.snapshot())


def test_another_identity_cannot_open_the_store() -> None:
    """A state sealed by another build raises what main turns into the recovery phase."""
    world = SmallWorld()
    world.enforce_genesis()
    world.keys = SealingKeys(unique=b"U" * 32, product=b"P" * 32)
    with pytest.raises(ForeignSealError):
        world.load()


def test_recovery_phase_answers_nothing_else() -> None:
    """In recovery there are status and quotes; neither call sets a manifest."""
    world = SmallWorld()
    fresh = world.fresh()
    service = world.open(Guard(replace(fresh, phase=Phase.RECOVERY), None, world.vault()))
    assert int(service.status().phase) == 1
    assert service.quote(b"nonce").quote
    raw = shop.manifest()
    with pytest.raises(GitOpsNotEnabledError, match="recovery"):
        service.update(raw, shop.genesis_evidence(raw), dry_run=False, source=None)
    with pytest.raises(WrongPhaseError, match="EDG_COORDINATOR_ALLOW_RESET"):
        service.set_manifest(shop.plain_manifest())


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("crash_at", range(1, 9))
def test_a_crash_leaves_before_or_after(crash_at: int, moment: Moment) -> None:
    """Whichever write dies, the store reopens to a state that verifies: acknowledged, or one more."""
    durable = MemoryStore()
    world = _WORLD_FOR_CRASHES
    world.store = CrashingStore(durable, crash_at=crash_at, moment=moment)
    service, acknowledged = world.open(), 0
    current = shop.manifest()
    try:
        for number in (1, 2):
            if number > 1:
                current = _next(service, current, version=number)
            pieces = (
                shop.genesis_evidence(current) if number == 1 else shop.approvals(current, "alice", "bob")
            )
            service.update(current, pieces, dry_run=False, source=None)
            acknowledged = number
            service.marbles.activate(activation(csr=make_csr()), marble_quote())
    except (StoreError, MarbleRefusedError):
        pass
    world.store = durable
    reopened = world.open().status().version or 0
    assert acknowledged <= reopened <= acknowledged + 1
    if moment is Moment.BEFORE:
        assert reopened == acknowledged


def test_a_lost_answer_is_found_out() -> None:
    """If the swap happened and only its answer was lost, the guard looks and goes on."""

    class Forgetful(MemoryStore):
        lost = 0

        def compare_and_swap(self, name: str, old: bytes | None, new: bytes) -> bool:
            done = super().compare_and_swap(name, old, new)
            if self.lost:
                self.lost -= 1
                raise StoreError("lost")
            return done

    store = Forgetful()
    world = SmallWorld(store=store)
    store.lost = 1
    service, _ = world.enforce_genesis()
    assert service.status().version == 1


def test_a_foreign_writer_stops_the_coordinator() -> None:
    """If somebody else moves the pointer, what is in memory is no longer the truth, and not served."""
    world = SmallWorld()
    service, first = world.enforce_genesis()
    other = world.open()
    second = _next(service, first)
    other.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
    with pytest.raises(StoreError):
        service.update(second, shop.approvals(second, "bob", "carol"), dry_run=False, source=None)
    with pytest.raises(StoreError):
        service.status()


def test_activation_is_counted_exactly() -> None:
    """The budget holds across restarts, and refusals and failures cost nothing."""
    world = SmallWorld()
    service, _ = world.enforce_genesis()
    for refused in (marble_quote("frontend"), marble_quote(debug=True), b"junk"):
        with pytest.raises(MarbleRefusedError, match="invalid quote"):
            service.marbles.activate(activation(csr=make_csr()), refused)
    with pytest.raises(InvalidMarbleRequestError):
        service.marbles.activate(activation(uuid="x", csr=make_csr()), marble_quote())
    service.marbles.activate(activation(csr=make_csr()), marble_quote())
    reopened = world.open()
    reopened.marbles.activate(activation(csr=make_csr()), marble_quote())
    for one in (reopened, world.open()):
        with pytest.raises(MarbleRefusedError, match=r"reached max activations count \(2\)"):
            one.marbles.activate(activation(csr=make_csr()), marble_quote())


def test_parameters_too_large_for_an_answer_cost_no_activation() -> None:
    """What no marble could receive is refused before it is counted."""

    def change(made: dict[str, Any]) -> None:
        made["Secrets"]["big"] = {"Type": "symmetric-key", "Size": 65_280, "Shared": True}
        for name in ("/one", "/two"):
            made["Marbles"]["backend"]["Parameters"]["Files"][name] = "{{ hex .Secrets.big }}" * 200

    service, _ = SmallWorld().enforce_genesis(shop.manifest(change=change))
    with pytest.raises(ActivationFailedError, match="more than 4128768 bytes together"):
        service.marbles.activate(activation(csr=make_csr()), marble_quote())
    assert dict(service.snapshot().ledger.activations) == {}


def test_a_stale_decision_conflicts() -> None:
    """A transition decided on a state that is no longer the current one changes nothing."""
    world = SmallWorld()
    guard = world.load()
    service = world.open(guard)
    raw = shop.manifest()
    service.update(raw, shop.genesis_evidence(raw), dry_run=False, source=None)
    stale = guard.current
    following = _next(service, raw)
    service.update(following, shop.approvals(following, "alice", "bob"), dry_run=False, source=None)
    with pytest.raises(ConflictError):
        guard.commit_ledger(stale, lambda ledger: ledger)
    transition = manifest_set(
        world.fresh(),
        load(shop.plain_manifest(), strictness=Strictness.MARBLERUN),
        making=Making(at=world.clock.now(), random=world.entropy.bytes),
    )
    with pytest.raises(ConflictError):
        guard.commit(stale, transition)
    assert service.status().version == 2


def test_an_update_during_an_activation_starts_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A marble admitted under the old manifest is judged again under the new one before it is counted."""
    service, first = SmallWorld().enforce_genesis()
    service.marbles.activate(activation("frontend", csr=make_csr()), marble_quote("frontend", version=1))
    rendered = domain_activation.parameters
    turns = []

    def updating(*args: Any, **kwargs: Any) -> Any:
        turns.append(args)
        if len(turns) == 1:
            second = _next(service, first)
            service.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
        return rendered(*args, **kwargs)

    monkeypatch.setattr(domain_activation, "parameters", updating)
    parameters = service.marbles.activate(activation(csr=make_csr()), marble_quote())
    assert len(turns) == 2
    assert parameters.env["GREETING"] == b"version 2"
    assert service.snapshot().ledger.activations["backend"] == 1


def test_unlimited_marbles_write_once_per_build() -> None:
    """An activation that changes no count and attests nothing new writes nothing."""
    store = CrashingStore(MemoryStore())
    service, _ = SmallWorld(store=store).enforce_genesis()
    request = activation("frontend", csr=make_csr())
    writes = []
    for version in (1, 1, 3, 2):
        before = store.writes
        service.marbles.activate(request, marble_quote("frontend", version=version))
        writes.append(store.writes - before)
    assert writes == [1, 0, 1, 0]


def test_empty_quotes_need_the_option() -> None:
    """An empty quote is admitted only where the start configuration says so, and attests nothing."""
    world = SmallWorld()
    service, _ = world.enforce_genesis()
    with pytest.raises(MarbleRefusedError):
        service.marbles.activate(activation(csr=make_csr()), b"")
    world.options = replace(world.options, accept_empty_quotes=True)
    service = world.open()
    service.marbles.activate(activation(csr=make_csr()), b"")
    assert dict(service.snapshot().ledger.attested) == {}


_WORLD_FOR_CRASHES = SmallWorld()


def _next(service: Service, previous: bytes, *, version: int = 2) -> bytes:
    def change(made: dict[str, Any]) -> None:
        made["Marbles"]["backend"]["Parameters"]["Env"]["GREETING"] = f"version {version}"

    return shop.manifest(version, previous=previous, deployment=service.status().deployment, change=change)


def _comparable(state: State) -> Any:
    """Everything of a state as plain values; keys compare by their PKCS#8."""
    pairs = (state.authorities.root, state.authorities.intermediate, state.authorities.marble_root)
    keys = [(pair.key_pkcs8, pair.certificate_der) for pair in pairs]
    return state.phase, keys, state.enforcement, state.ledger
