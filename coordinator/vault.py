"""The vault: data keys, who can open them, and the sealed store under them (ADR 5).

Everything of the state is sealed under a random *data key*, which is wrapped several ways: by the platform's
sealing key, for a restart (``wrap/<key id>/<name of the sealing key>``), and by the recovery keys, whose
secrets only their holders have. ``key/<key id>`` says in plain how it was shared out, and holds the key
before it under the new one. Both are written once and before the state pointer moves; the pointer's header
names the key in force. So a crash between leaves the old key in force, and everything readable.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.barrier import Barrier, name_aad
from coordinator.domain import envelope
from coordinator.domain.key_record import KeyFacts, KeyRecord, decode_record, make_record
from coordinator.domain.wrap import Wrap, decode_wrap, likely_cause, wrap_aad
from coordinator.errors import CorruptStateError, ForeignSealError, SealError
from coordinator.ports import SealPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.domain.recovery import KeyChange, RecoveryData
    from coordinator.ports import Entropy, Sealer, Store

POINTER = "pointer"
KEYS = "key/"
WRAPS = "wrap/"
DISABLED = "disabled"
"""The policy of a data key that nothing wraps: SealMode Disabled keeps the state in memory alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPorts:
    """The world, as the vault sees it. ``set_aside`` renames what the store holds and gives an empty one."""

    store: Store
    platform: Sealer
    entropy: Entropy
    memory: Callable[[], Store]
    set_aside: Callable[[str], Store]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keyring:
    """The data key in force and those before it. ``legacy`` opens what version 0.1 sealed. No repr."""

    entropy: Entropy
    current: bytes | None = None
    known: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    legacy: Sealer | None = None

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Seal under the data key in force."""
        if self.current is None:
            raise CorruptStateError("a state is to be written, but no data key is in force")
        return envelope.seal(self.current, plaintext, aad, salt=self.entropy.bytes(envelope.SALT_SIZE))

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Open what any known key sealed; raise SealError."""
        if self.legacy is not None and self.legacy.policy_of(sealed) is not None:
            return self.legacy.unseal(sealed, aad)
        return envelope.unseal(self.known, sealed, aad)

    def keeps(self, sealed: bytes) -> bool:
        """Say whether everybody with the key in force can open *sealed*."""
        return envelope.key_id_of(sealed) in self.known


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Vault:
    """The data keys of one store, as far as they are open. Immutable; ``changed`` gives another one.

    ``facts`` is what stands in plain about the key in force; None where there is none, or its record is lost.
    ``locked`` is the id of the key that would open the state, where this vault cannot.
    """

    ports: VaultPorts
    keyring: Keyring
    facts: KeyFacts | None = None
    locked: str | None = None

    @property
    def sealed(self) -> Barrier:
        """The store as this Coordinator reads and writes it."""
        return Barrier(self.ports.store, self.keyring)

    def leftover(self, name: str) -> bytes | None:
        """Read a blob that no key in force may have sealed; None where nothing here opens it."""
        sealed = self.ports.store.get(name) or b""
        keyring = self.keyring
        if not keyring.keeps(sealed):
            keyring = replace(keyring, known=_leftovers(self.ports))
        try:
            return keyring.unseal(sealed, name_aad(name))
        except SealError:
            return None

    @property
    def is_legacy(self) -> bool:
        """Whether the state is one of version 0.1, sealed without a data key."""
        return self.keyring.legacy is not None

    def changed(self, change: KeyChange, policy: SealPolicy | None, *, signed: bool = False) -> Vault:
        """Return a vault that writes under a new data key; its records are durable when this returns.

        Nothing observable changes until the state pointer is swapped through the new vault. Without a
        *policy* (SealMode Disabled) the new vault keeps everything in memory.

        Raises:
            StoreError: the store failed; the key in force stays.
        """
        key_id = envelope.key_id(change.key)
        facts = KeyFacts(
            key_id=key_id,
            policy=DISABLED if policy is None else policy.value,
            signed=signed,
            recovery=change.data,
        )
        before = self.keyring.known if self.keyring.current is not None else {}
        keyring = replace(self.keyring, current=change.key, known={**before, key_id: change.key})
        if policy is None:
            assert self.keyring.current is None, "a state on disk never becomes one in memory"
            return Vault(ports=replace(self.ports, store=self.ports.memory()), keyring=keyring, facts=facts)
        record = make_record(facts, change.key, self.keyring.current, salt=self._salt())
        self.ports.store.put(
            {f"{KEYS}{key_id}": record.encode(), **_wrap(self.ports.platform, key_id, change.key, policy)}
        )
        return Vault(ports=self.ports, keyring=keyring, facts=facts)

    def ensure_wrapped(self) -> None:
        """Make sure that the platform's sealing key of today opens the data key in force.

        Raises:
            StoreError: the store failed.
        """
        if self.keyring.current is None or self.facts is None or self.facts.policy == DISABLED:
            return
        policy, platform, store = SealPolicy(self.facts.policy), self.ports.platform, self.ports.store
        name = _wrap_name(platform, self.facts.key_id, policy)
        found = store.get(name)
        if found is not None and _open_wrap(platform, name, found) is not None:
            return
        wrapped = _wrap(platform, self.facts.key_id, self.keyring.current, policy)
        if found is None:
            store.put(wrapped)
        else:
            store.compare_and_swap(name, found, wrapped[name])

    # Recovery.

    def opens(self, key: bytes) -> bool:
        """Say whether *key* is the one that this locked vault waits for."""
        return self.locked is not None and hmac.compare_digest(envelope.key_id(key), self.locked)

    def unlocked(self, key: bytes) -> Vault:
        """Return the vault that *key* opens. Writes nothing.

        Raises:
            SealError: it is not the key, or a record of a key was altered.
        """
        if not self.opens(key):
            raise SealError("this is not the data key of the state")
        assert self.locked is not None
        return _open_chain(self.ports, self.locked, key)

    def recorded(self, data: RecoveryData | None, policy: SealPolicy, *, signed: bool) -> Vault:
        """Write the lost record of the key in force anew; the keys before it, if any, are lost with it.

        Raises:
            StoreError: the store failed.
        """
        key = self.keyring.current
        assert key is not None
        key_id = envelope.key_id(key)
        facts = KeyFacts(key_id=key_id, policy=policy.value, signed=signed, recovery=data)
        name, record = f"{KEYS}{key_id}", make_record(facts, key, None, salt=self._salt())
        self.ports.store.compare_and_swap(name, self.ports.store.get(name), record.encode())
        return replace(self, facts=facts)

    def emptied(self, suffix: str) -> Vault:
        """Set everything in the store aside, under names that end with *suffix*, and begin anew.

        Raises:
            StoreError: the store failed; it is as it was.
        """
        ports = replace(self.ports, store=self.ports.set_aside(suffix))
        return Vault(ports=ports, keyring=Keyring(entropy=ports.entropy))

    def _salt(self) -> bytes:
        return self.ports.entropy.bytes(envelope.SALT_SIZE)


def open_vault(ports: VaultPorts) -> Vault:
    """Open the data keys of a store with the platform's sealing keys. Writes nothing.

    Raises:
        ForeignSealError: the platform cannot open the key of the state; the message says why, likely.
        SealError: the pointer, a sealed key or a key record was altered.
        CorruptStateError: a record cannot be read.
        StoreError: the store cannot be read.
    """
    pointer = ports.store.get(POINTER)
    if pointer is None:
        return Vault(ports=ports, keyring=Keyring(entropy=ports.entropy, known=_leftovers(ports)))
    key_id = envelope.key_id_of(pointer)
    if key_id is not None:
        key, policy = _open_key(ports, key_id)
        vault = _open_chain(ports, key_id, key)
        if vault.facts is None:  # the record is lost: whether the deployment is signed is not known, so yes
            facts = KeyFacts(key_id=key_id, policy=policy.value, signed=True, recovery=None)
            return replace(vault, facts=facts)
        return vault
    if ports.platform.policy_of(pointer) is None:
        raise SealError("the state pointer has no valid header")
    ports.platform.unseal(pointer, name_aad(POINTER))
    keyring = Keyring(entropy=ports.entropy, known=_leftovers(ports), legacy=ports.platform)
    return Vault(ports=ports, keyring=keyring)


def locked_vault(ports: VaultPorts) -> Vault:
    """Describe a store that ``open_vault`` could not open, for recovery. Writes nothing."""
    pointer = ports.store.get(POINTER)
    key_id = None if pointer is None else envelope.key_id_of(pointer)
    record = None if key_id is None else _find_record(ports.store, key_id)
    return Vault(
        ports=ports,
        keyring=Keyring(entropy=ports.entropy),
        facts=None if record is None else record.facts,
        locked=key_id,
    )


def _open_chain(ports: VaultPorts, key_id: str, key: bytes) -> Vault:
    """Open every key that was in force before *key*, each by the record of the one after it."""
    known = {key_id: key}
    newest = record = _read_record(ports.store, key_id)
    opened = key
    while record is not None:
        previous = record.previous(opened)
        if previous is None:
            break
        opened, name = previous, envelope.key_id(previous)
        if name in known:
            raise CorruptStateError("the key records go round in a circle")
        known[name] = opened
        record = _read_record(ports.store, name)
    keyring = Keyring(entropy=ports.entropy, current=key, known=known)
    return Vault(ports=ports, keyring=keyring, facts=None if newest is None else newest.facts)


def _open_key(ports: VaultPorts, key_id: str) -> tuple[bytes, SealPolicy]:
    """Open the data key *key_id* with any wrap that the platform opens."""
    foreign, altered = [], False
    for name in ports.store.list(f"{WRAPS}{key_id}/"):
        encoded = ports.store.get(name) or b""
        try:
            opened = _open_wrap(ports.platform, name, encoded)
        except ForeignSealError:
            foreign.append(decode_wrap(encoded).circumstances)
            continue
        if opened is None:
            altered = True
        elif envelope.key_id(opened[0]) != key_id:
            raise SealError("a sealed key holds another key than its name says")
        else:
            return opened
    record = _find_record(ports.store, key_id)
    unique = record is not None and record.facts.policy == SealPolicy.UNIQUE
    cause = likely_cause(foreign, ports.platform.circumstances(), unique=unique, altered=altered)
    raise ForeignSealError(f"this Coordinator cannot open the key of the saved state: {cause}")


def _open_wrap(platform: Sealer, name: str, encoded: bytes) -> tuple[bytes, SealPolicy] | None:
    """Open one wrap; None where it was altered."""
    try:
        wrap = decode_wrap(encoded)
        policy = platform.policy_of(wrap.sealed)
        key = platform.unseal(wrap.sealed, wrap_aad(name, wrap.circumstances))
    except ForeignSealError:
        raise
    except (SealError, CorruptStateError):
        return None
    assert policy is not None
    return key, policy


def _leftovers(ports: VaultPorts) -> dict[str, bytes]:
    """Open every data key that the platform can: also of a genesis or a migration that was interrupted."""
    known = {}
    for name in ports.store.list(WRAPS):
        try:
            opened = _open_wrap(ports.platform, name, ports.store.get(name) or b"")
        except ForeignSealError:
            continue
        if opened is not None:
            known[envelope.key_id(opened[0])] = opened[0]
    return known


def _wrap(platform: Sealer, key_id: str, key: bytes, policy: SealPolicy) -> dict[str, bytes]:
    name = _wrap_name(platform, key_id, policy)
    circumstances = platform.circumstances()
    sealed = platform.seal(key, wrap_aad(name, circumstances), policy=policy)
    return {name: Wrap(circumstances=circumstances, sealed=sealed).encode()}


def _wrap_name(platform: Sealer, key_id: str, policy: SealPolicy) -> str:
    return f"{WRAPS}{key_id}/{platform.key_name(policy)}"


def _read_record(store: Store, key_id: str) -> KeyRecord | None:
    encoded = store.get(f"{KEYS}{key_id}")
    if encoded is None:
        return None
    record = decode_record(encoded)
    if record.facts.key_id != key_id:
        raise SealError("a key record stands in the place of another")
    return record


def _find_record(store: Store, key_id: str) -> KeyRecord | None:
    """Read a record that may have been damaged: then it is as good as lost."""
    try:
        return _read_record(store, key_id)
    except (SealError, CorruptStateError):
        return None
