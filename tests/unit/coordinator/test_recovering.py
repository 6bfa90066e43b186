"""Recovery as a whole: a Coordinator whose platform keys changed, its owners, and what they may not do."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import SealingKeys
from coordinator.audit import audit
from coordinator.domain.making import Making
from coordinator.domain.phase import Phase
from coordinator.domain.rejudge import rejudge
from coordinator.domain.update import transition_of
from coordinator.errors import (
    CorruptStateError,
    ForeignSealError,
    ManifestRefusedError,
    RecoveryRefusedError,
    StoreError,
    UndecryptableSecretError,
    WrongPhaseError,
)
from coordinator.guard import Guard
from coordinator.vault import POINTER, locked_vault, open_vault
from marbleops.approval.record import decode_record, encode_record
from marbleops.manifest.digest import Digest
from tests.fakes import shop
from tests.fakes.crashing_store import CrashingStore, Moment
from tests.fakes.recovery_holders import NAMES, decrypt, private_key, public_pems, sign
from tests.fakes.small_world import SmallWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.domain.history import Shelf
    from coordinator.domain.state import State
    from coordinator.service import Service

OTHER_MACHINE = SealingKeys(unique=b"U" * 32, product=b"P" * 32)


@dataclass
class Deployment:
    """One plain deployment with recovery keys, and its holders' secrets."""

    count: int = 3
    threshold: int = 0
    world: SmallWorld = field(default_factory=SmallWorld)

    def begin(self) -> Service:
        service = self.world.open()
        self.secrets = _decrypted(service.set_manifest(_manifest(self.count, self.threshold)))
        return service

    def lose_the_machine(self) -> Service:
        self.world.keys = OTHER_MACHINE
        return waiting(self.world)

    def recover(self, service: Service, *names: str) -> list[int]:
        return [
            service.recovery.recover(self.secrets[name], sign(name, self.secrets[name])).remaining
            for name in names
        ]


def waiting(world: SmallWorld) -> Service:
    """Start a Coordinator whose platform does not open the state, as ``opening`` does."""
    ports = world.vault_ports()
    with pytest.raises(ForeignSealError):
        open_vault(ports)
    world.root = None
    state = replace(world.fresh(), phase=Phase.RECOVERY)
    return world.open(Guard(state, None, locked_vault(ports)))


def _manifest(count: int, threshold: int, *, change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    made = json.loads(shop.plain_manifest())
    made["RecoveryKeys"] = public_pems(count)
    made["Config"] = {"RecoveryThreshold": threshold}
    if change is not None:
        change(made)
    return json.dumps(made).encode()


def _content(state: State) -> tuple[object, ...]:
    """Return everything of *state* that can be compared."""
    chain = state.authorities.chain_pem, state.authorities.marble_root.certificate_der
    return (*chain, state.phase, state.ledger, state.enforcement)


def _decrypted(secrets: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: decrypt(name, ciphertext) for name, ciphertext in secrets.items()}


@pytest.mark.parametrize(
    ("count", "threshold", "names", "remaining"),
    [(1, 0, ("ann",), [0]), (3, 0, NAMES, [2, 1, 0]), (3, 2, ("cleo", "ann"), [2, 0])],
)
def test_recover(count: int, threshold: int, names: tuple[str, ...], remaining: list[int]) -> None:
    """The owners bring the state back whole, with its root; the next restart needs them no more."""
    deployment = Deployment(count, threshold)
    before = deployment.begin()
    root = before.snapshot().authorities.root.certificate_der
    service = deployment.lose_the_machine()
    assert service.snapshot().authorities.root.certificate_der != root
    waiting_quote = service.quote(None)
    assert deployment.recover(service, *names) == remaining
    assert _content(service.snapshot()) == _content(before.snapshot())
    assert service.snapshot().authorities.root.certificate_der == root
    assert service.quote(None).chain_pem != waiting_quote.chain_pem
    assert service.quote(None).quote != waiting_quote.quote
    assert _content(deployment.world.open().snapshot()) == _content(before.snapshot())
    with pytest.raises(WrongPhaseError):
        deployment.recover(service, names[0])


def test_messages() -> None:
    """MarbleRun's words for each step (7.3)."""
    deployment = Deployment(3, 2)
    deployment.begin()
    service = deployment.lose_the_machine()
    recover = service.recovery.recover
    assert [
        recover(deployment.secrets[name], sign(name, deployment.secrets[name])).message for name in NAMES[:2]
    ] == [
        "Secret was processed successfully. Upload the next secret. Remaining secrets: 2",
        "Recovery successful.",
    ]


def test_encrypted_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of another size than a plain one is decrypted with the key that was handed out before."""
    monkeypatch.setattr(
        "cryptography.hazmat.primitives.asymmetric.rsa.generate_private_key", lambda *_: private_key("cleo")
    )
    deployment = Deployment(1)
    deployment.begin()
    service = deployment.lose_the_machine()
    secret = deployment.secrets["ann"]
    encrypted = private_key("cleo").public_key().encrypt(secret, _oaep())
    with pytest.raises(UndecryptableSecretError, match="failed to decrypt recovery secret: "):
        service.recovery.recover(encrypted, sign("ann", secret))
    assert service.recovery.public_key() == service.recovery.public_key()
    with pytest.raises(UndecryptableSecretError):
        service.recovery.recover(bytes(256), b"")
    assert service.recovery.recover(encrypted, sign("ann", secret)).remaining == 0
    with pytest.raises(WrongPhaseError):
        service.recovery.public_key()


def _oaep() -> Any:
    from coordinator.domain.recovery_keys import OAEP  # noqa: PLC0415

    return OAEP


def test_wrong_secrets_and_wrong_signatures() -> None:
    """A wrong secret keeps the progress (A11); a wrong signature, found at the end, drops that one alone."""
    deployment = Deployment(3, 0)
    deployment.begin()
    service = deployment.lose_the_machine()
    assert deployment.recover(service, "ann") == [2]
    with pytest.raises(RecoveryRefusedError, match="invalid or already used"):
        service.recovery.recover(bytes(32), b"")
    assert deployment.recover(service, "ben") == [1]
    with pytest.raises(RecoveryRefusedError, match=r'no matching recovery key found.* "cleo"'):
        service.recovery.recover(deployment.secrets["cleo"], b"no signature")
    assert service.snapshot().phase is Phase.RECOVERY
    assert deployment.recover(service, *NAMES) == [2, 1, 0]


def test_one_holder_cannot_undo_the_others() -> None:
    """However often a holder sends junk for a signature, the well-signed secrets stay, and suffice."""
    deployment = Deployment(3, 2)
    deployment.begin()
    service = deployment.lose_the_machine()
    deployment.recover(service, "ann")
    for _ in range(3):
        with pytest.raises(RecoveryRefusedError, match="no matching recovery public key"):
            service.recovery.recover(deployment.secrets["cleo"], b"no signature")
    assert deployment.recover(service, "ben") == [0]


def test_lost_recovery_data_come_back() -> None:
    """Without the key's record the secrets find their way, and the record is there again afterwards."""
    deployment = Deployment(3, 0)
    deployment.begin()
    store = deployment.world.store
    assert isinstance(store, MemoryStore)
    (name,) = store.list("key/")
    del store._values[name]
    service = deployment.lose_the_machine()
    with pytest.raises(WrongPhaseError, match="ALLOW_RESET"):
        service.set_manifest(_manifest(0, 0))
    assert deployment.recover(service, *NAMES) == [1, 1, 0]
    deployment.world.keys = replace(OTHER_MACHINE, unique=b"x" * 32, product=b"y" * 32)
    assert deployment.recover(waiting(deployment.world), *NAMES) == [2, 1, 0]


def test_reset_of_a_plain_deployment() -> None:
    """A new manifest replaces what waits for recovery; a wrong one does not, and the old state is kept."""
    deployment = Deployment(1)
    deployment.begin()
    service = deployment.lose_the_machine()
    with pytest.raises(ManifestRefusedError):
        service.set_manifest(b"{")
    assert service.snapshot().phase is Phase.RECOVERY
    service.set_manifest(_manifest(0, 0))
    assert service.snapshot().phase is Phase.ACCEPTING_MARBLES
    assert _content(deployment.world.open().snapshot()) == _content(service.snapshot())
    ((suffix, old),) = deployment.world.aside.items()
    assert suffix.startswith("20261123T")
    assert old.get(POINTER) is not None


def test_without_recovery_keys() -> None:
    """Nothing opens such a state but the platform that sealed it."""
    deployment = Deployment(0)
    deployment.begin()
    service = deployment.lose_the_machine()
    with pytest.raises(RecoveryRefusedError, match="cannot be recovered"):
        service.recovery.recover(bytes(32), b"")


# Signed deployments.


@dataclass
class Signed:
    """A signed deployment with recovery keys: genesis and one full change."""

    world: SmallWorld = field(default_factory=SmallWorld)

    def begin(self) -> Service:
        def change(made: dict[str, Any]) -> None:
            made["RecoveryKeys"] = public_pems(2)

        service, first = self.world.enforce_genesis(shop.manifest(change=change))
        enforcement = service.enforcement()
        self.secrets = _decrypted(enforcement.recovery)
        second = shop.manifest(2, previous=first, deployment=enforcement.deployment)
        decision = service.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
        assert decision.outcome == "applied", decision.summary
        self.world.keys = OTHER_MACHINE
        return service

    def recover(self, service: Service) -> None:
        for name, secret in self.secrets.items():
            service.recovery.recover(secret, sign(name, secret))


def test_a_signed_deployment_is_judged_again() -> None:
    """Recovered with its evidence it goes on, without a piece it does not; no call resets it."""
    signed = Signed()
    before = signed.begin()
    service = waiting(signed.world)
    with pytest.raises(WrongPhaseError, match="ALLOW_RESET"):
        service.set_manifest(shop.plain_manifest())
    signed.recover(service)
    assert _content(service.snapshot()) == _content(before.snapshot())
    store = signed.world.store
    assert isinstance(store, MemoryStore)
    piece = store.list("evidence/")[0]
    del store._values[piece]
    signed.world.keys = replace(OTHER_MACHINE, product=b"z" * 32)
    service = waiting(signed.world)
    with pytest.raises(
        CorruptStateError, match=f"1 pieces of evidence are missing.*{piece.partition('/')[2]}"
    ):
        signed.recover(service)
    assert service.snapshot().phase is Phase.RECOVERY


def test_a_history_that_somebody_with_the_data_key_wrote() -> None:
    """Replay alone would believe an approval without evidence; the audit of each start does not."""
    world = SmallWorld()
    service, first = world.enforce_genesis()
    state = service.snapshot()
    audit(state, world.vault())
    second = shop.manifest(2, previous=first, deployment=service.status().deployment)
    pieces = shop.approvals(second, "alice", "bob")
    decision = service.update(second, pieces, dry_run=True, source=None)
    made = transition_of(
        state, decision, pieces, source=None, making=Making(at=world.clock.now(), random=world.entropy.bytes)
    )
    forged = replace(made, record=replace(made.record, evidence=()), evidence={})
    world.load().commit(state, forged)
    written = world.open()
    assert written.status().version == 2
    with pytest.raises(CorruptStateError, match="position 1 does not hold when it is judged again"):
        audit(written.snapshot(), world.vault())


def test_a_recovery_key_that_cannot_be_used_is_told_before_people_sign() -> None:
    """A dry run refuses it, in MarbleRun's words."""
    raw = shop.manifest(change=lambda made: made.update(RecoveryKeys={"ann": "no PEM", "ben": "no PEM"}))
    decision = SmallWorld().open().update(raw, shop.genesis_evidence(raw), dry_run=True, source=None)
    assert decision.outcome == "refused"
    assert "generating recovery encryption key: given PEM data is not a public key" in decision.summary


def _forged(records: list[bytes], **changes: Any) -> list[bytes]:
    return [*records[:-1], encode_record(replace(decode_record(records[-1]), **changes))]


def test_what_does_not_hold_is_refused() -> None:
    """A record that says more, less or something else than its evidence is named."""
    signed = Signed()
    service = signed.begin()
    signed.world.keys = SmallWorld().keys
    sealed = signed.world.vault().sealed
    state = service.snapshot()
    assert state.enforcement is not None
    records = list(state.enforcement.records)
    spki = state.authorities.root.spki

    def fetch(shelf: Shelf, digest: Digest) -> bytes | None:
        return sealed.get(f"{shelf}/{digest.hex}")

    rejudge(records, root_spki=spki, fetch=fetch)
    last = decode_record(records[-1])
    for forged, words in (
        (_forged(records, evidence=last.evidence[:1]), "position 1 does not hold"),
        (_forged(records, approvals=last.approvals[:1]), "recorded otherwise"),
        (_forged(records, change_class="package-bump"), "recorded otherwise"),
        (_forged(records, deployment=Digest.of(b"x")), "does not hold"),
        (_forged(records[:1], deployment=Digest.of(b"x")), "not this root's"),
        (_forged(records, manifest=Digest.of(b"x")), "missing"),
    ):
        with pytest.raises(CorruptStateError, match=words):
            rejudge(forged, root_spki=spki, fetch=fetch)
    with pytest.raises(CorruptStateError, match="not this root's"):
        rejudge(records, root_spki=b"another root", fetch=fetch)


@pytest.mark.parametrize("keys", [0, 2])
def test_an_older_pointer_put_back(keys: int) -> None:
    """Where the disk still has what came after, it is noticed, even under a newer data key."""
    world = SmallWorld()
    service, first = world.enforce_genesis()
    assert isinstance(world.store, MemoryStore)
    pointer = world.store._values[POINTER]
    previous = first
    for version in (2, 3):

        def change(made: dict[str, Any]) -> None:
            made["RecoveryKeys"] = public_pems(keys)

        raw = shop.manifest(version, previous=previous, deployment=service.status().deployment, change=change)
        evidence = shop.approvals(raw, "alice", "bob", "carol")
        decision = service.update(raw, evidence, dry_run=False, source=None)
        assert decision.outcome == "applied", decision.summary
        previous = raw
    assert len(world.store.list("key/")) == (2 if keys else 1)
    assert _content(world.open().snapshot()) == _content(service.snapshot())
    world.store._values[POINTER] = pointer
    with pytest.raises(CorruptStateError, match="an older one: its history ends at position 0"):
        world.open()


def _other_keys(made: dict[str, Any]) -> None:
    made["RecoveryKeys"] = public_pems(3)


def _unique(made: dict[str, Any]) -> None:
    made["Config"]["SealMode"] = "UniqueKey"


@pytest.mark.parametrize(
    ("change", "crash_at", "moment"),
    [
        (_other_keys, 1, Moment.WITHIN),
        (_unique, 2, Moment.WITHIN),
        (_other_keys, 3, Moment.BEFORE),
        (_other_keys, 3, Moment.AFTER),
        (_unique, None, Moment.BEFORE),
    ],
)
def test_a_crash_at_a_change_of_the_data_key(
    change: Callable[[dict[str, Any]], None], crash_at: int | None, moment: Moment
) -> None:
    """Before or after, never between: the secrets in the state in force always recover it."""
    world = SmallWorld()
    service, first = world.enforce_genesis(
        shop.manifest(change=lambda made: made.update(RecoveryKeys=public_pems(2)))
    )
    second = shop.manifest(2, previous=first, deployment=service.status().deployment, change=change)
    inner = world.store
    world.store = CrashingStore(inner, crash_at=crash_at, moment=moment)
    with contextlib.suppress(StoreError):
        world.open().update(second, shop.approvals(second, *shop.PEOPLE), dry_run=False, source=None)
    world.store = inner
    now = world.open()
    assert now.status().version == (2 if crash_at is None or moment is Moment.AFTER else 1)
    wrapped = now.snapshot().enforcement
    assert wrapped is not None
    newer_build = replace(world.keys, unique=b"U" * 32)
    if now.status().version == 2 and change is _unique:
        world.keys = newer_build
        with pytest.raises(ForeignSealError):
            world.vault()
    world.keys = OTHER_MACHINE
    service = waiting(world)
    for name, secret in _decrypted(wrapped.recovery).items():
        service.recovery.recover(secret, sign(name, secret))
    assert _content(service.snapshot()) == _content(now.snapshot())
