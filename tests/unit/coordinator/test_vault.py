"""Data keys: every way they are opened, every crash on the way to a new one, everything a disk may do."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.domain import envelope
from coordinator.domain.recovery import KeyChange, generate
from coordinator.errors import CorruptStateError, ForeignSealError, SealError, StoreError
from coordinator.ports import SealPolicy, Store
from coordinator.vault import POINTER, Vault, VaultPorts, locked_vault, open_vault
from tests.fakes.crashing_store import CrashingStore, Moment
from tests.fakes.small_world import FakeEntropy

CIRCUMSTANCES = MappingProxyType({"machine": "m", "microcode": "0", "uniqueID": "u", "securityVersion": "3"})
KEYS = SealingKeys(unique=b"u" * 32, product=b"p" * 32, circumstances=CIRCUMSTANCES)


@dataclass
class Desk:
    """One disk under platforms that come and go."""

    store: Store = field(default_factory=MemoryStore)
    entropy: FakeEntropy = field(default_factory=FakeEntropy)

    def ports(self, keys: SealingKeys = KEYS) -> VaultPorts:
        return VaultPorts(
            store=self.store,
            platform=AesGcmSealer(keys, self.entropy),
            entropy=self.entropy,
            memory=MemoryStore,
            set_aside=lambda _: MemoryStore(),
        )

    def open(self, keys: SealingKeys = KEYS) -> Vault:
        return open_vault(self.ports(keys))

    def change(self) -> KeyChange:
        return generate({}, 0, random=self.entropy.bytes)

    def step(self, vault: Vault, old: bytes | None, new: bytes) -> None:
        """Write what a transition writes: its own blobs, and one that every transition shares."""
        vault.sealed.put({"manifest/same": b"same", f"record/{new.decode()}": new})
        assert vault.sealed.compare_and_swap(POINTER, old, new)

    def begin(self, policy: SealPolicy = SealPolicy.PRODUCT) -> tuple[Vault, bytes]:
        change = self.change()
        vault = self.open().changed(change, policy)
        self.step(vault, None, b"one")
        return vault, change.key

    @property
    def values(self) -> dict[str, bytes]:
        assert isinstance(self.store, MemoryStore)
        return self.store._values

    def names(self, prefix: str) -> tuple[str, ...]:
        return self.store.list(prefix)


def _other(**circumstances: str) -> SealingKeys:
    return SealingKeys(unique=b"U" * 32, product=b"P" * 32, circumstances={**CIRCUMSTANCES, **circumstances})


def test_a_chain_of_keys() -> None:
    """A restart opens the key in force and all before it; the disk sees neither keys nor contents."""
    desk = Desk()
    vault, first = desk.begin()
    second = desk.change()
    vault = vault.changed(second, SealPolicy.PRODUCT)
    desk.step(vault, b"one", b"two")
    again = desk.open()
    assert [again.sealed.get(name) for name in ("record/one", "record/two", POINTER)] == [
        b"one",
        b"two",
        b"two",
    ]
    assert len(desk.names("key/")) == len(desk.names("wrap/")) == 2
    everything = b"".join(desk.values.values()) + repr((vault, again, again.keyring)).encode()
    for secret in (first, second.key):
        assert secret not in everything
        assert secret.hex().encode() not in everything


def test_a_blob_in_another_place() -> None:
    """A value is bound to its name, and a name to its content."""
    desk = Desk()
    vault, _ = desk.begin()
    with pytest.raises(CorruptStateError, match="another content"):
        vault.sealed.put({"record/one": b"other"})
    desk.values["record/x"] = desk.values["record/one"]
    with pytest.raises(SealError):
        vault.sealed.get("record/x")


def test_nothing_is_written_without_a_key() -> None:
    """Before the first transition there is nothing to write under."""
    with pytest.raises(CorruptStateError, match="no data key"):
        Desk().open().sealed.put({"record/x": b""})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (_other(microcode="1"), "update of microcode or BIOS.: microcode was 0, is 1"),
        (_other(machine="n", microcode="1"), "another machine"),
        (_other(), "another sealing key under the same circumstances"),
    ],
)
def test_a_foreign_platform_is_a_case_for_recovery(keys: SealingKeys, words: str) -> None:
    """The likely cause is told; the key brings the state back, and from then on the platform opens it."""
    desk = Desk()
    _, key = desk.begin()
    with pytest.raises(ForeignSealError, match=words):
        desk.open(keys)
    locked = locked_vault(desk.ports(keys))
    assert not locked.opens(bytes(32))
    with pytest.raises(SealError):
        locked.unlocked(bytes(32))
    vault = locked.unlocked(key)
    assert vault.sealed.get(POINTER) == b"one"
    vault.ensure_wrapped()
    assert desk.open(keys).sealed.get(POINTER) == b"one"
    assert desk.open().sealed.get(POINTER) == b"one"


def test_the_policy_of_a_key_holds() -> None:
    """A newer build opens under ProductKey and wraps for itself; under UniqueKey it does not open."""
    newer = SealingKeys(unique=b"U" * 32, product=b"P" * 32, older=(b"p" * 32,), circumstances=CIRCUMSTANCES)
    desk = Desk()
    desk.begin()
    desk.open(newer).ensure_wrapped()
    assert len(desk.names("wrap/")) == 2
    desk.open(_other()).ensure_wrapped()
    assert len(desk.names("wrap/")) == 2
    desk = Desk()
    desk.begin(SealPolicy.UNIQUE)
    with pytest.raises(ForeignSealError, match="SealMode is UniqueKey"):
        desk.open(
            SealingKeys(unique=b"U" * 32, product=b"p" * 32, circumstances=_other(uniqueID="v").circumstances)
        )


def test_an_older_sealed_key_means_recovery() -> None:
    """The sealed key of the old data key does not open newer data (TestRecoverySealedKeyStateBinding)."""
    desk = Desk()
    vault, _ = desk.begin()
    (old,) = desk.names("wrap/")
    change = desk.change()
    desk.step(vault.changed(change, SealPolicy.PRODUCT), b"one", b"two")
    (new,) = set(desk.names("wrap/")) - {old}
    sealed = desk.values.pop(new)
    with pytest.raises(ForeignSealError, match="missing, or is an older one"):
        desk.open()
    desk.values[new] = desk.values[old]
    with pytest.raises(ForeignSealError, match="was altered"):
        desk.open()
    locked = locked_vault(desk.ports()).unlocked(change.key)
    locked.ensure_wrapped()
    assert desk.values[new] not in (desk.values[old], sealed)
    assert desk.open().sealed.get("record/one") == b"one"


def test_altered_records_do_not_open() -> None:
    """A key record of another key, an altered one, an altered pointer: no start, no guess."""
    desk = Desk()
    vault, _ = desk.begin()
    (old,) = desk.names("key/")
    desk.step(vault.changed(desk.change(), SealPolicy.PRODUCT), b"one", b"two")
    (new,) = set(desk.names("key/")) - {old}
    good = dict(desk.values)
    for name, value, words in (
        (new, good[old], "in the place of another"),
        (new, good[new].replace(b'"signed":false', b'"signed":true'), "was altered"),
        (new, b"{}", "format"),
        (POINTER, b"x" * 200, "no valid header"),
    ):
        desk.values.update(good | {name: value})
        with pytest.raises((SealError, CorruptStateError), match=words):
            desk.open()
    flipped = good[POINTER][:-1] + bytes([good[POINTER][-1] ^ 1])
    desk.values.update(good | {POINTER: flipped})
    with pytest.raises(SealError, match="altered"):
        desk.open().sealed.get(POINTER)


def test_a_lost_key_record() -> None:
    """A restart goes on without it, counting the deployment as signed; recovery writes it anew."""
    desk = Desk()
    _, key = desk.begin()
    (name,) = desk.names("key/")
    del desk.values[name]
    facts = desk.open().facts
    assert facts is not None
    assert (facts.signed, facts.recovery, facts.policy) == (True, None, "product")
    vault = locked_vault(desk.ports(_other())).unlocked(key)
    assert vault.facts is None
    vault.recorded(None, SealPolicy.PRODUCT, signed=False).ensure_wrapped()
    facts = desk.open(_other()).facts
    assert facts is not None
    assert not facts.signed


def test_disabled_sealing_writes_nothing() -> None:
    """Without a policy everything stays in memory."""
    desk = Desk()
    vault = desk.open().changed(desk.change(), None)
    desk.step(vault, None, b"one")
    vault.ensure_wrapped()
    assert vault.sealed.get(POINTER) == b"one"
    assert desk.names("") == ()


def test_emptied() -> None:
    """After a reset the vault is as new, over another store."""
    desk = Desk()
    vault, _ = desk.begin()
    emptied = vault.emptied("x")
    assert emptied.sealed.get(POINTER) is None
    assert emptied.facts is None
    desk.step(emptied.changed(desk.change(), SealPolicy.PRODUCT), None, b"new")


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("crash_at", range(1, 7))
def test_a_crash_on_the_way_to_another_key(moment: Moment, crash_at: int) -> None:
    """Whichever write dies, the old key or the new one is in force whole, and the next try succeeds."""
    desk = Desk()
    inner = desk.store
    vault, first = desk.begin()
    crashing = CrashingStore(inner, crash_at=crash_at, moment=moment)
    desk.store = crashing
    keys = [first]
    with contextlib.suppress(StoreError):
        vault = desk.open()
        for old, new in ((b"one", b"two"), (b"two", b"three")):
            change = desk.change()
            keys.append(change.key)
            vault = vault.changed(change, SealPolicy.PRODUCT)
            desk.step(vault, old, new)
    assert crashing.dead
    desk.store = inner
    pointer = _recovers_alone(desk, keys)
    vault = desk.open().changed(desk.change(), SealPolicy.PRODUCT)
    desk.step(vault, pointer, b"last")
    assert desk.open().sealed.get(POINTER) == b"last"


def _recovers_alone(desk: Desk, keys: list[bytes]) -> bytes:
    """Check that the platform opens what is there, and so does exactly the key that the pointer names."""
    pointer = desk.open().sealed.get(POINTER)
    locked = locked_vault(desk.ports(_other()))
    (key,) = [key for key in keys if locked.opens(key)]
    recovered = locked.unlocked(key).sealed
    assert recovered.get(POINTER) == pointer
    assert pointer is not None
    assert recovered.get(f"record/{pointer.decode()}") == pointer
    assert recovered.get("manifest/same") == b"same"
    return pointer


def test_what_a_crash_left_is_sealed_anew() -> None:
    """A blob under a key that never came into force is written again, so that recovery can read it."""
    desk = Desk()
    vault, key = desk.begin()
    vault.changed(desk.change(), SealPolicy.PRODUCT).sealed.put({"record/two": b"two"})
    vault = desk.open()
    with pytest.raises(SealError, match="not known here"):
        vault.sealed.get("record/two")
    desk.step(vault, b"one", b"two")
    recovered = locked_vault(desk.ports(_other())).unlocked(key)
    assert recovered.sealed.get("record/two") == b"two"


def test_key_ids_tell_nothing() -> None:
    """The id of a key is one-way, and an envelope names nothing else."""
    key = bytes(range(32))
    sealed = envelope.seal(key, b"secret", b"name", salt=bytes(32))
    assert envelope.key_id_of(sealed) == envelope.key_id(key)
    assert key not in sealed
    assert envelope.unseal({envelope.key_id(key): key}, sealed, b"name") == b"secret"
    for altered in (sealed[:-1], sealed[:20], b""):
        with pytest.raises(SealError):
            envelope.unseal({envelope.key_id(key): key}, altered, b"name")
