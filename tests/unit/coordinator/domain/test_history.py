"""Replay is an audit: whatever a disk does to a single value, or to the pointer, is found and named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from coordinator.domain import history
from coordinator.domain.effects import decode_effects, encode_effects
from coordinator.domain.state import Head, Ledger, Source
from coordinator.errors import CorruptStateError, ManifestRefusedError, SealError
from coordinator.vault import POINTER
from marbleops.approval.floors import Floors
from marbleops.approval.record import decode_record, encode_record, record_hash
from marbleops.manifest.digest import Digest
from tests.fakes import shop
from tests.fakes.small_world import SmallWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.service import Service


def _two_versions() -> tuple[SmallWorld, Service]:
    world = SmallWorld()
    service, first = world.enforce_genesis()

    def change(made: dict[str, Any]) -> None:
        made["Marbles"]["frontend"]["Parameters"]["Argv"] = ["frontend", "2"]

    second = shop.manifest(2, previous=first, deployment=service.status().deployment, change=change)
    decision = service.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
    assert decision.outcome == "applied"
    return world, service


def test_blobs_are_named_by_content() -> None:
    """Two transitions leave two records, effects and manifests, five pieces of evidence, and one key."""
    world, _ = _two_versions()
    names = [name.partition("/")[0] for name in world.store.list("")]
    assert {shelf: names.count(shelf) for shelf in set(names)} == {
        "record": 2, "effects": 2, "manifest": 2, "evidence": 5, "pointer": 1, "key": 1, "wrap": 1,
    }  # fmt: skip


def test_rules_of_a_newer_build_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that lacks the rules version of a record refuses to start and names it."""
    world = SmallWorld()
    monkeypatch.setattr("coordinator.domain.update.RULES_VERSION", 2)
    world.enforce_genesis()
    with pytest.raises(CorruptStateError, match="rules version 2, this build knows up to 1"):
        world.load()


def test_what_a_restart_could_not_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state too large to be opened again is refused before the first byte is written."""
    world = SmallWorld()
    monkeypatch.setattr(history, "MAX_BLOB_BYTES", 1000)
    with pytest.raises(ManifestRefusedError, match="too large"):
        world.enforce_genesis()
    monkeypatch.setattr(history, "decode_effects", _unreadable)
    with pytest.raises(ManifestRefusedError, match="could not be read back"):
        world.enforce_genesis()
    assert world.store.list("") == ()


def _unreadable(_: bytes) -> None:
    raise CorruptStateError("no")


def test_a_missing_pointer_is_no_fresh_start() -> None:
    """A history without its pointer is a loss to tell, not an empty store; an unfinished genesis is none."""
    world, _ = _two_versions()
    del world.store._values[POINTER]  # type: ignore[attr-defined]
    with pytest.raises(CorruptStateError, match="pointer is missing"):
        world.load()
    world = SmallWorld()
    world.enforce_genesis()
    del world.store._values[POINTER]  # type: ignore[attr-defined]
    assert world.load().current.enforcement is None


@pytest.mark.parametrize("shelf", ["record", "effects", "manifest"])
def test_a_missing_blob_is_named(shelf: str) -> None:
    """Any blob that is gone stops the start, and the reason names it."""
    world, _ = _two_versions()
    name = world.store.list(f"{shelf}/")[0]
    del world.store._values[name]  # type: ignore[attr-defined]
    with pytest.raises(
        CorruptStateError, match=f"the {shelf} blob sha256:{name.partition('/')[2]} is missing"
    ):
        world.load()


@pytest.mark.parametrize("shelf", ["record", "effects", "manifest"])
def test_swapped_blobs_do_not_open(shelf: str) -> None:
    """A value put in another's place is bound to its name and does not open."""
    world, _ = _two_versions()
    first, second = world.store.list(f"{shelf}/")
    values: dict[str, bytes] = world.store._values  # type: ignore[attr-defined]
    values[first], values[second] = values[second], values[first]
    with pytest.raises(SealError):
        world.load()


def test_an_old_pointer_is_an_old_whole() -> None:
    """Putting the old pointer back gives the whole old state: the one rollback that stays possible."""
    world = SmallWorld()
    service, first = world.enforce_genesis()
    values: dict[str, bytes] = world.store._values  # type: ignore[attr-defined]
    old = values[POINTER]
    second = shop.manifest(2, previous=first, deployment=service.status().deployment)
    service.update(second, shop.approvals(second, "alice", "bob"), dry_run=False, source=None)
    values[POINTER] = old
    assert world.open().status().version == 1


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("position", 2), "its head says 3"),
        (_set("position", 0), "longer than its head at position 0"),
        (_set("head", str(Digest.of(b"x"))), "is missing"),
        (_set("format", 3), "a format this build does not know"),
        (_set("attested", None), "cannot be read"),
        (_set("head", "sha256:00"), "cannot be read"),
    ],
)
def test_contradicting_pointers(change: Callable[[dict[str, Any]], None], words: str) -> None:
    """A pointer that does not fit the history is refused, even if this very enclave sealed it."""
    world, service = _two_versions()
    encoded = history.encode_pointer(history.pointer_of(service.snapshot()))
    document = json.loads(encoded)
    change(document)
    sealed = world.vault().sealed
    assert sealed.compare_and_swap(POINTER, encoded, json.dumps(document).encode())
    with pytest.raises(CorruptStateError, match=words):
        world.load()


def test_pointer_round_trip() -> None:
    """Head, ledger and source come back as they were; equal pointers have equal bytes."""
    pointer = history.Pointer(
        head=Head(position=7, hash=Digest.of(b"head")),
        ledger=Ledger(activations={"m": 3}, attested={("p", "aa", 1): 4}),
        source=Source(url="u", revision="r"),
    )
    encoded = history.encode_pointer(pointer)
    assert history.decode_pointer(encoded) == pointer
    assert history.encode_pointer(history.decode_pointer(encoded)) == encoded


def test_effects_round_trip() -> None:
    """Keys, certificates, secrets and log lines come back; garbage and other formats are refused."""
    world, service = _two_versions()
    (name, _) = world.store.list("effects/")
    encoded = world.vault().sealed.get(name)
    assert encoded is not None
    effects = decode_effects(encoded)
    assert encode_effects(effects) == encoded
    assert service.snapshot().authorities.root.key_pkcs8 == effects.authorities.root.key_pkcs8
    assert str(effects.secrets.root) not in repr(effects)
    for wrong in (b"", b"[]", b"{}", encoded.replace(b'"format":2', b'"format":3')):
        with pytest.raises(CorruptStateError):
            decode_effects(wrong)


def test_a_record_of_other_floors_is_refused() -> None:
    """A record must have been decided under the floors that the chain before it leads to."""
    world, service = _two_versions()
    state = service.snapshot()
    pointer = history.pointer_of(state)
    sealed = world.vault().sealed

    def fetch(shelf: history.Shelf, digest: Digest) -> bytes:
        content = sealed.get(history.blob_name(shelf, digest))
        assert content is not None
        return content

    assert history.replay(world.fresh(), pointer, fetch).enforcement == state.enforcement
    assert state.enforcement is not None
    record = decode_record(state.enforcement.records[-1])
    forged = encode_record(replace(record, floors=Floors(names={"backend": 0})))
    head = Head(position=1, hash=record_hash(forged))

    def forging(shelf: history.Shelf, digest: Digest) -> bytes:
        return forged if digest == head.hash else fetch(shelf, digest)

    with pytest.raises(CorruptStateError, match="other SecurityVersion floors"):
        history.replay(world.fresh(), replace(pointer, head=head), forging)
