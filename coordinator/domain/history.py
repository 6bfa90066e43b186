"""The history: what a transition is, how one is appended, and how the whole chain is replayed.

``evolve`` is the only way from one state to the next; ``replay`` applies it to every record of the chain and
refuses anything that does not fit: a restart is an audit (architecture.md decision 2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import secrets
from coordinator.domain.effects import (
    Effects,
    decode_effects,
    decode_material,
    encode_effects,
    encode_material,
)
from coordinator.domain.phase import TRANSITIONS, Phase
from coordinator.domain.state import Enforcement, Head, Ledger, Source, State, raised
from coordinator.errors import CorruptStateError, ManifestRefusedError
from marbleops.approval import floors as floor_rules
from marbleops.approval.limits import RULES_VERSION
from marbleops.approval.record import (
    Assertion,
    ChainError,
    PublicRecord,
    decode_record,
    encode_record,
    record_hash,
    verify_chain,
)
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.approval.floors import Floors
    from marbleops.manifest.model import Manifest

_POINTER_FORMAT = 2
_READABLE_POINTERS = frozenset({1, 2})
MAX_RECORDS = 1_000_000
"""The half of them is the most that writers of secrets fill: the rest is for decisions on manifests."""
MAX_BLOB_BYTES = 24 * 1024 * 1024
"""One blob before sealing: far above what the bounds on manifests, evidence and secrets add up to."""


class Shelf(StrEnum):
    """The kinds of content-addressed blobs; the word is the first part of a blob's name."""

    RECORD = "record"
    EFFECTS = "effects"
    MANIFEST = "manifest"
    EVIDENCE = "evidence"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of the history: the public record, its sealed effects, and the bytes both refer to."""

    record: PublicRecord
    effects: Effects
    manifest: Manifest
    floors: Floors
    evidence: Mapping[Digest, bytes]
    source: Source | None

    @property
    def encoded_record(self) -> bytes:
        """The record's bytes, which the chain hashes."""
        return encode_record(self.record)

    def blobs(self) -> dict[str, bytes]:
        """All contents this transition needs, by name."""
        encoded = self.encoded_record
        return {
            blob_name(Shelf.RECORD, record_hash(encoded)): encoded,
            blob_name(Shelf.EFFECTS, self.record.effects): encode_effects(self.effects),
            blob_name(Shelf.MANIFEST, self.manifest.digest): self.manifest.raw,
            **{blob_name(Shelf.EVIDENCE, digest): piece for digest, piece in self.evidence.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The one mutable value: the head of the history and the ledger. Sealed, never shown.

    Of uploaded secrets it names the blobs; ``ledger.uploads`` is empty here.
    """

    head: Head
    ledger: Ledger = field(default_factory=Ledger)
    uploads: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    source: Source | None = None


def blob_name(shelf: Shelf, digest: Digest) -> str:
    """Name a blob by what it holds."""
    return f"{shelf}/{digest.hex}"


def pointer_of(state: State) -> Pointer:
    """Return the pointer that leads to *state*, which enforces something."""
    assert state.enforcement is not None
    return Pointer(
        head=state.enforcement.head,
        ledger=replace(state.ledger, uploads=MappingProxyType({})),
        uploads={name: Digest.of(encode_material(value)) for name, value in state.ledger.uploads.items()},
        source=state.enforcement.source,
    )


def upload_blobs(ledger: Ledger) -> dict[str, bytes]:
    """Return the uploaded secrets as blobs, by name."""
    encoded = [encode_material(value) for value in ledger.uploads.values()]
    return {blob_name(Shelf.UPLOAD, Digest.of(value)): value for value in encoded}


def evolve(state: State, transition: Transition) -> State:
    """Apply *transition*; the decision was made before, here only its consequences happen.

    The ledger goes on: activations counted and builds attested since the decision stay (marblerun-core A12).
    """
    assert Phase.ACCEPTING_MARBLES in TRANSITIONS[state.phase], "no way from this phase"
    before = state.enforcement
    encoded = transition.encoded_record
    return State(
        phase=Phase.ACCEPTING_MARBLES,
        authorities=transition.effects.authorities,
        ledger=_carry(state.ledger, before.manifest if before else None, transition.manifest),
        enforcement=Enforcement(
            manifest=transition.manifest,
            signature=transition.effects.signature,
            deployment=transition.record.deployment,
            floors=transition.floors,
            secrets=transition.effects.secrets,
            records=(*(before.records if before else ()), encoded),
            head=Head(position=transition.record.position, hash=record_hash(encoded)),
            log=(*(before.log if before else ()), *transition.effects.log),
            source=transition.source,
            security_versions=transition.effects.security_versions,
            pending=transition.effects.pending,
            recovery=transition.effects.recovery,
        ),
    )


def _carry(ledger: Ledger, old: Manifest | None, new: Manifest) -> Ledger:
    """Keep what stays true: an uploaded value as long as its secret is defined alike (6.4)."""
    uploads = {
        name: value
        for name, value in ledger.uploads.items()
        if old is not None
        and name in new.secrets
        and secrets.same_definition(old.secrets[name], new.secrets[name])
    }
    return replace(
        ledger,
        attested=floor_rules.carry_attested(ledger.attested, old, new),
        uploads=MappingProxyType(uploads),
    )


def replay(fresh: State, pointer: Pointer, fetch: Callable[[Shelf, Digest], bytes]) -> State:
    """Rebuild the state that *pointer* names from its blobs, checking every link.

    Raises:
        CorruptStateError: a blob is not what its name says, the chain is broken, or a record does not follow
        from the
            state before it; the message names the first contradiction.
    """
    encoded_records = _walk(pointer.head, fetch)
    try:
        records = verify_chain(encoded_records)
    except ChainError as error:
        raise CorruptStateError(f"the history does not verify: {error}") from error
    state = fresh
    for record in records:
        state = evolve(state, _restore(state, record, fetch))
    assert state.enforcement is not None
    uploads = {
        name: decode_material(_content(Shelf.UPLOAD, digest, fetch))
        for name, digest in pointer.uploads.items()
    }
    return replace(
        state,
        ledger=replace(pointer.ledger, uploads=MappingProxyType(uploads)),
        enforcement=replace(state.enforcement, source=pointer.source),
    )


def encode_pointer(pointer: Pointer) -> bytes:
    """Write the pointer; equal pointers give equal bytes."""
    return canonical_json(
        {
            "format": _POINTER_FORMAT,
            "position": pointer.head.position,
            "head": str(pointer.head.hash),
            "activations": dict(pointer.ledger.activations),
            "attested": floor_rules.attested_to_json(pointer.ledger.attested),
            "uploads": {name: str(digest) for name, digest in pointer.uploads.items()},
            "counters": dict(pointer.ledger.counters),
            "source": None if pointer.source is None else [pointer.source.url, pointer.source.revision],
        }
    )


def decode_pointer(encoded: bytes) -> Pointer:
    """Read a pointer this Coordinator wrote.

    Raises:
        CorruptStateError: not a pointer of a format this build knows.
    """
    try:
        document = json.loads(encoded)
        if document["format"] == 1:
            document |= {"uploads": {}, "counters": {}}
        if document["format"] not in _READABLE_POINTERS:
            raise CorruptStateError(
                f"the state pointer has a format this build does not know: {document['format']}"
            )
        source = document["source"]
        return Pointer(
            head=Head(position=document["position"], hash=Digest.parse(document["head"])),
            ledger=Ledger(
                activations=document["activations"],
                attested=floor_rules.attested_from_json(document["attested"]),
                counters=document["counters"],
            ),
            uploads={name: Digest.parse(digest) for name, digest in document["uploads"].items()},
            source=None if source is None else Source(url=source[0], revision=source[1]),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CorruptStateError("the state pointer cannot be read") from error


def position_of(encoded_record: bytes | None) -> int | None:
    """Return the position that a record gives itself; None where it is none."""
    try:
        return None if encoded_record is None else decode_record(encoded_record).position
    except ChainError:
        return None


def follows_another(encoded_record: bytes) -> bool:
    """Say whether a record is a later one of its history.

    Raises:
        CorruptStateError: it is no record.
    """
    try:
        return decode_record(encoded_record).previous is not None
    except ChainError as error:
        raise CorruptStateError(f"a record cannot be read: {error}") from error


def _walk(head: Head, fetch: Callable[[Shelf, Digest], bytes]) -> tuple[bytes, ...]:
    """Fetch the records from *head* back to the first; each is named by the one after it."""
    encoded_records: list[bytes] = []
    wanted: Digest | None = head.hash
    while wanted is not None:
        if len(encoded_records) > min(head.position, MAX_RECORDS):
            raise CorruptStateError(f"the history is longer than its head at position {head.position} says")
        encoded = fetch(Shelf.RECORD, wanted)
        if record_hash(encoded) != wanted:
            raise CorruptStateError(f"the record {wanted} has another content")
        encoded_records.append(encoded)
        try:
            wanted = decode_record(encoded).previous
        except ChainError as error:
            raise CorruptStateError(f"the record {wanted} cannot be read: {error}") from error
    if len(encoded_records) != head.position + 1:
        raise CorruptStateError(
            f"the history has {len(encoded_records)} records, its head says {head.position + 1}"
        )
    return tuple(reversed(encoded_records))


def _restore(state: State, record: PublicRecord, fetch: Callable[[Shelf, Digest], bytes]) -> Transition:
    place = f"the record at position {record.position}"
    if record.rules_version > RULES_VERSION:
        raise CorruptStateError(
            f"{place} was decided under the rules version {record.rules_version}, this build knows up to "
            f"{RULES_VERSION}: start a newer build"
        )
    effects = decode_effects(_content(Shelf.EFFECTS, record.effects, fetch))
    before = state.enforcement
    if before is not None and before.manifest.digest == record.manifest:
        manifest = before.manifest  # a thousand written secrets are no thousand manifests to read
    else:
        manifest = _parse(_content(Shelf.MANIFEST, record.manifest, fetch), place)
    if before is not None and record.deployment != before.deployment:
        raise CorruptStateError(f"{place} belongs to another deployment")
    if before is not None and record.floors != before.floors:
        raise CorruptStateError(f"{place} was decided under other SecurityVersion floors than those in force")
    return Transition(
        record=record,
        effects=effects,
        manifest=manifest,
        floors=floors_after(before, raised(manifest, effects.security_versions), record.assertion),
        evidence={},
        source=None,
    )


def readable_blobs(transition: Transition) -> dict[str, bytes]:
    """Return the blobs of *transition* if a restart could read them back, so that no write bricks the state.

    Raises:
        ManifestRefusedError: something in it is beyond what is read; nothing was written yet.
    """
    room = MAX_RECORDS // 2 if transition.record.kind == "secrets-set" else MAX_RECORDS
    if transition.record.position >= room:
        raise ManifestRefusedError(
            f"the history of this deployment is full, it has {transition.record.position} records: "
            "start a new deployment"
        )
    blobs = transition.blobs()
    try:
        decode_record(transition.encoded_record)
        decode_effects(encode_effects(transition.effects))
    except (ChainError, CorruptStateError) as error:
        raise ManifestRefusedError("the manifest leads to a state that could not be read back") from error
    if any(len(content) > MAX_BLOB_BYTES for content in blobs.values()):
        raise ManifestRefusedError("the manifest leads to a state that is too large to be kept")
    return blobs


def floors_after(
    before: Enforcement | None, effective: Manifest, assertion: Assertion | None = None
) -> Floors:
    """Return the floors once *effective* is in force; the same rule that the decision used."""
    if before is None:
        return floor_rules.advance(floor_rules.NO_FLOORS, None, effective)
    declared = frozenset(assertion.decreases) if assertion else None
    return floor_rules.advance(before.floors, before.effective, effective, declared=declared)


def _content(shelf: Shelf, digest: Digest, fetch: Callable[[Shelf, Digest], bytes]) -> bytes:
    content = fetch(shelf, digest)
    if Digest.of(content) != digest:
        raise CorruptStateError(f"the {shelf} blob {digest} has another content")
    return content


def _parse(raw: bytes, place: str) -> Manifest:
    try:
        return parse(raw, strictness=Strictness.MARBLERUN)
    except ManifestError as error:
        raise CorruptStateError(f"{place} names a manifest this build cannot parse: {error}") from error
