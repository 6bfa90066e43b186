"""A crash at every call of the store that a command makes: before it, within it, and after it was durable.

Each command of owners, marbles and holders runs once undisturbed, for the two states that are allowed
afterwards, and then once per call and moment. What was answered must be there (INV-DURABLE), what was not is
there wholly or not at all (INV-ATOMIC), and the Coordinator goes on from there. Crashes of the process, at
every system call, are in ``tests/e2e/test_crash_processes.py``.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.domain.leaf import issue_leaf
from coordinator.domain.phase import Phase
from coordinator.domain.secrets import UserSecret
from coordinator.errors import ForeignSealError, StoreError
from coordinator.guard import Guard
from coordinator.vault import VaultPorts, locked_vault
from tests.fakes import plain_mesh
from tests.fakes.crashing_store import CrashingStore, Moment
from tests.fakes.small_world import SmallWorld, activation, make_csr, marble_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.domain.pki import KeyPair
    from coordinator.ports import Store
    from coordinator.service import Service

pytestmark = pytest.mark.integration

MARBLE = "02030400-0000-4000-8000-0000000000ab"
OTHER_MACHINE = SealingKeys(unique=b"U" * 32, product=b"P" * 32)
MAX_CALLS = 12
"""More than any command makes."""


@dataclass(frozen=True)
class Command:
    """One command: what comes before it, and what it does."""

    run: Callable[[Life], object]
    prepare: tuple[Callable[[Life], object], ...] = ()
    other_machine: bool = False


@dataclass
class Life:
    """A Coordinator over a store in memory."""

    world: SmallWorld
    service: Service
    shares: dict[str, bytes]

    def user(self, name: str) -> Any:
        """Authenticate as *name*."""
        certificate = x509.load_pem_x509_certificate(plain_mesh.user_certificate(name).encode())
        return self.service.owners.authenticate((certificate.public_bytes(Encoding.DER),))

    def summary(self) -> object:
        """Say what stands, without times and random values."""
        state = self.service.snapshot()
        enforcement = state.enforcement
        if enforcement is None:
            return state.phase
        pending = enforcement.pending
        return (
            state.authorities.root.certificate_der,
            enforcement.manifest.raw,
            dict(enforcement.security_versions),
            enforcement.floors,
            pending and (pending.manifest.raw, dict(pending.required), pending.missing),
            [{**json.loads(line), "time": ""} for line in enforcement.log],
            enforcement.head.position,
            {name: value.private for name, value in state.ledger.uploads.items()},
            dict(state.ledger.activations),
            dict(state.ledger.counters),
        )


def _set(life: Life) -> None:
    life.shares = dict(life.service.set_manifest(plain_mesh.manifest(budget=2)))


def _raise(life: Life) -> None:
    update = json.dumps({"Packages": {"backend": {"SecurityVersion": 2}}}).encode()
    life.service.owners.update(update, life.user("alice"))


def _propose(life: Life) -> None:
    life.service.owners.update(plain_mesh.manifest(argument="second"), life.user("alice"))


def _acknowledge(life: Life) -> None:
    life.service.owners.acknowledge(plain_mesh.manifest(argument="second"), life.user("bob"))


def _propose_holders(life: Life) -> None:
    life.service.owners.update(plain_mesh.manifest(recovery=("carol",), rotate=True), life.user("alice"))


def _acknowledge_holders(life: Life) -> None:
    new = plain_mesh.manifest(recovery=("carol",), rotate=True)
    life.service.owners.acknowledge(new, life.user("bob"))


def _cancel(life: Life) -> None:
    life.service.owners.cancel(life.user("carol"))


def _write(life: Life) -> None:
    given = {"token": UserSecret(cert=None, private=None, key=b"a token")}
    life.service.owners.write_secrets(given, life.user("alice"))


def _activate(life: Life) -> None:
    life.service.marbles.activate(activation(csr=make_csr(), uuid=MARBLE), marble_quote())


def _count(life: Life) -> None:
    leaf = issue_leaf(
        life.service.snapshot().authorities,
        csr=make_csr(),
        uuid=MARBLE,
        marble_type="backend",
        at=life.world.clock.now(),
        random=life.world.entropy.bytes,
    )
    life.service.marbles.count(life.service.marbles.authenticate((leaf.certificate_der,)), "used", 7)


def _recover(life: Life) -> None:
    for name, encrypted in life.shares.items():
        life.service.recovery.recover(*plain_mesh.recovery_share(name, encrypted))


COMMANDS = {
    "set": Command(_set),
    "package update": Command(_raise, (_set,)),
    "propose": Command(_propose, (_set,)),
    "acknowledge": Command(_acknowledge, (_set, _propose)),
    "acknowledge, new recovery keys": Command(_acknowledge_holders, (_set, _propose_holders)),
    "cancel": Command(_cancel, (_set, _propose)),
    "write a secret": Command(_write, (_set,)),
    "activate": Command(_activate, (_set, _write)),
    "count": Command(_count, (_set,)),
    "recover": Command(_recover, (_set, _write, _propose), other_machine=True),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_before_or_after(name: str) -> None:
    """Whichever call dies, the state is the one before or the one after, and the command can be repeated."""
    command = COMMANDS[name]
    durable, shares = MemoryStore(), dict[str, bytes]()
    for prepare in command.prepare:
        life = _open(durable, shares, SmallWorld().keys)
        prepare(life)
        shares = life.shares
    keys = OTHER_MACHINE if command.other_machine else SmallWorld().keys
    undisturbed = _open(_copy(durable), shares, keys)
    before = undisturbed.summary()
    command.run(undisturbed)
    after = undisturbed.summary()
    assert after != before
    crashes = 0
    for moment in Moment:
        for crash_at in range(1, MAX_CALLS):
            store = _copy(durable)
            crashing = CrashingStore(store, crash_at=crash_at, moment=moment)
            answered = _crashed(command, crashing, shares, keys)
            if not crashing.dead:
                break
            crashes += 1
            where = f"{moment.name} call {crash_at}"
            found = _open(store, shares, keys)
            summary = found.summary()
            assert summary in (before, after), where
            assert summary == after or not answered, where
            if summary == before:
                command.run(found)
                assert found.summary() == after, where
        else:
            raise AssertionError(f"a command makes more than {MAX_CALLS} calls")
    assert crashes >= len(Moment)


def _crashed(command: Command, store: CrashingStore, shares: dict[str, bytes], keys: SealingKeys) -> bool:
    """Run the command until the store dies; say whether it was answered all the same."""
    try:
        command.run(_open(store, shares, keys))
    except StoreError:
        return False
    return True


def _open(store: Store, shares: dict[str, bytes], keys: SealingKeys) -> Life:
    """Start a Coordinator as ``coordinator.opening`` does."""
    world = SmallWorld(store=store, keys=keys, root=None if keys is OTHER_MACHINE else _root())
    try:
        guard = world.load()
    except ForeignSealError:
        ports = VaultPorts(
            store=store,
            platform=AesGcmSealer(keys, world.entropy),
            entropy=world.entropy,
            memory=MemoryStore,
            set_aside=lambda _: MemoryStore(),
        )
        guard = Guard(replace(world.fresh(), phase=Phase.RECOVERY), None, locked_vault(ports))
    else:
        guard.vault.ensure_wrapped()
    return Life(world, world.open(guard), shares)


@functools.cache
def _root() -> KeyPair:
    """Make the root that every fresh Coordinator here begins with: it must not tell two runs apart."""
    return SmallWorld().fresh().authorities.root


def _copy(store: Store) -> MemoryStore:
    copied = MemoryStore()
    copied.put({name: store.get(name) or b"" for name in store.list("")})
    return copied
