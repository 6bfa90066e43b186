"""States of version 0.1, sealed under the platform's key itself, through every crash on the way forward."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cache

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.barrier import Barrier
from coordinator.domain.phase import Phase
from coordinator.errors import ForeignSealError, RecoveryRefusedError, SealError, StoreError, WrongPhaseError
from coordinator.guard import Guard
from coordinator.migration import migrated
from coordinator.ports import SealPolicy
from coordinator.vault import POINTER, locked_vault, open_vault
from tests.fakes import shop
from tests.fakes.crashing_store import CrashingStore, Moment
from tests.fakes.small_world import SmallWorld


@dataclass
class OldCipher:
    """Seals as version 0.1 did."""

    sealer: AesGcmSealer
    policy: SealPolicy

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        return self.sealer.seal(plaintext, aad, policy=self.policy)

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        return self.sealer.unseal(sealed, aad)

    def keeps(self, sealed: bytes) -> bool:
        return True


@cache
def _written(policy: SealPolicy, *, signed: bool) -> tuple[SmallWorld, dict[str, bytes], dict[str, bytes]]:
    world = SmallWorld()
    if signed:
        world.enforce_genesis()
    else:
        world.open().set_manifest(shop.plain_manifest())
    now = world.vault().sealed
    contents = {name: now.get(name) or b"" for name in now.list("") if not name.startswith(("key/", "wrap/"))}
    store = MemoryStore()
    old = Barrier(store, OldCipher(AesGcmSealer(world.keys, world.entropy), policy))
    old.put({name: content for name, content in contents.items() if name != POINTER})
    assert old.compare_and_swap(POINTER, None, contents[POINTER])
    return world, contents, store._values


def _old_state(
    policy: SealPolicy = SealPolicy.PRODUCT, *, signed: bool = True
) -> tuple[SmallWorld, dict[str, bytes]]:
    """Return a world whose store version 0.1 could have written, and what is in it."""
    world, contents, values = _written(policy, signed=signed)
    store = MemoryStore()
    store._values.update(values)
    return replace(world, store=store), contents


def _contents(world: SmallWorld) -> dict[str, bytes | None]:
    sealed = world.vault().sealed
    return {name: sealed.get(name) for name in sealed.list("") if not name.startswith(("key/", "wrap/"))}


@pytest.mark.parametrize("policy", SealPolicy)
@pytest.mark.parametrize("signed", [True, False])
def test_everything_is_sealed_anew(policy: SealPolicy, *, signed: bool) -> None:
    """After it nothing needs the platform's key but the wrap; policy and mark are those of the state."""
    world, contents = _old_state(policy, signed=signed)
    assert world.vault().is_legacy
    vault = migrated(world.vault())
    assert not vault.is_legacy
    assert vault.facts is not None
    assert (vault.facts.policy, vault.facts.signed) == (policy, signed)
    assert _contents(world) == contents
    assert world.open().snapshot().enforcement is not None
    platform = AesGcmSealer(world.keys, world.entropy)
    names = [name for name in world.store.list("") if not name.startswith("wrap/")]
    assert not any(platform.policy_of(world.store.get(name) or b"") for name in names)


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("crash_at", range(1, 9))
def test_a_crash_at_every_write(moment: Moment, crash_at: int) -> None:
    """Whatever write dies, the next start reads the same state and finishes the work."""
    world, contents = _old_state()
    inner = world.store
    world.store = crashing = CrashingStore(inner, crash_at=crash_at, moment=moment)
    with contextlib.suppress(StoreError):
        migrated(world.vault())
    assert crashing.dead == (crash_at <= len(contents) + 1)
    world.store = inner
    assert _contents(world) == contents
    vault = world.vault()
    assert (migrated(vault) if vault.is_legacy else vault).sealed.get(POINTER) == contents[POINTER]
    assert _contents(world) == contents


def test_another_machine_or_an_altered_value() -> None:
    """A foreign state waits for recovery; an altered one is not brought forward."""
    world, _ = _old_state()
    world.keys = SealingKeys(unique=b"U" * 32, product=b"P" * 32)
    with pytest.raises(ForeignSealError):
        open_vault(world.vault_ports())
    waiting = Guard(replace(world.fresh(), phase=Phase.RECOVERY), None, locked_vault(world.vault_ports()))
    with pytest.raises(RecoveryRefusedError, match=r"version 0\.1"):
        world.open(waiting).recovery.recover(bytes(32), b"")
    with pytest.raises(WrongPhaseError, match="ALLOW_RESET"):
        world.open(waiting).set_manifest(shop.plain_manifest())
    world, _ = _old_state()
    assert isinstance(world.store, MemoryStore)
    name = world.store.list("effects/")[0]
    world.store._values[name] = world.store._values[name][:-1] + b"x"
    with pytest.raises(SealError, match="altered"):
        migrated(world.vault())
    assert world.vault().is_legacy
