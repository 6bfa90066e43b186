"""The public history: one record per transition, chained by hash, the same bytes for Coordinator and clients.

A record holds every input of its decision that is in neither manifest nor evidence (approvals.md section 3,
*Side doors closed*), so that anybody with the bytes can judge again. Its hash is domain-separated and covers
the hash of the record before it; the hash of the last one is the *history head* that clients keep (section
6).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.approval.decision import CountedApproval, counted_from_json, counted_to_json
from marbleops.approval.floors import (
    AttestedVersions,
    Floors,
    attested_from_json,
    attested_to_json,
    floors_from_json,
    floors_to_json,
)
from marbleops.manifest.canonical import canonical_json
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""One record. Floors dominate: they hold every name and pair that ever stood in a manifest of up to 1 MiB."""

SIGNED = frozenset({"genesis", "update"})
"""Kinds that signed statements authorise: anybody with the evidence can judge them again."""

FIRST = frozenset({"genesis", "manifest-set"})
"""Kinds that begin a history; each other one follows a transition."""

ASSERTED = frozenset(
    {
        "package-update",
        "full-update",
        "update-proposed",
        "update-acknowledged",
        "update-cancelled",
        "secrets-set",
    }
)
"""Kinds that a user's client certificate authorised: only the Coordinator's word says so, so they are checked
for chaining only (approvals.md section 3, Side doors closed)."""

KINDS = SIGNED | FIRST | ASSERTED

_TRANSITION = b"marbleops/transition/v1\0"
_HEAD = b"marbleops/history-head/v1\0"
_MAX_ROWS = 65_536
_MAX_TEXT = 4096


class ChainError(Exception):
    """A history that is not one chain: the position and what is wrong there."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"history record {position}: {message}")
        self.position = position
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """Who authorised a transition by client certificate, and what it did that no manifest says.

    ``certificate`` is its SHA-256; ``secrets`` are the names of those written, never values; ``packages`` the
    SecurityVersions set; ``proposal`` the digest of the update that was proposed, acknowledged or cancelled;
    ``decreases`` the packages whose floor the start configuration allowed to fall.
    """

    user: str
    certificate: Digest
    secrets: tuple[str, ...] = ()
    packages: tuple[tuple[str, int], ...] = ()
    proposal: Digest | None = None
    decreases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRecord:
    """One transition as everybody may see it: digests and names, never evidence bytes or secrets.

    ``assertion`` is there for the ``ASSERTED`` kinds and for no other.
    """

    position: int
    previous: Digest | None
    kind: str
    manifest: Digest
    version: int | None
    deployment: Digest | None
    rules_version: int
    change_class: str
    weakens: tuple[str, ...] = ()
    approvals: tuple[CountedApproval, ...] = ()
    key_proofs: tuple[CountedApproval, ...] = ()
    floors: Floors
    attested: AttestedVersions
    revoked: tuple[str, ...] = ()
    evidence: tuple[Digest, ...] = ()
    effects: Digest
    assertion: Assertion | None = None


_MEMBERS = (
    "position", "previous", "kind", "manifest", "version", "deployment", "rulesVersion", "class", "weakens",
    "approvals", "keyProofs", "floors", "attested", "revoked", "evidence", "effects",
)  # fmt: skip


def encode_record(record: PublicRecord) -> bytes:
    """Render a record as canonical bytes."""
    asserted = {} if record.assertion is None else {"asserted": _assertion_to_json(record.assertion)}
    return canonical_json(
        {
            **asserted,
            "position": record.position,
            "previous": _text_or_none(record.previous),
            "kind": record.kind,
            "manifest": str(record.manifest),
            "version": record.version,
            "deployment": _text_or_none(record.deployment),
            "rulesVersion": record.rules_version,
            "class": record.change_class,
            "weakens": list(record.weakens),
            "approvals": [counted_to_json(counted) for counted in record.approvals],
            "keyProofs": [counted_to_json(counted) for counted in record.key_proofs],
            "floors": floors_to_json(record.floors),
            "attested": attested_to_json(record.attested),
            "revoked": list(record.revoked),
            "evidence": [str(digest) for digest in record.evidence],
            "effects": str(record.effects),
        }
    )


def decode_record(encoded: bytes) -> PublicRecord:
    """Read a record strictly: it must be exactly the bytes that encode_record writes.

    Raises:
        ChainError: it is not; the position is 0 where the record does not tell it.
    """
    if len(encoded) > MAX_RECORD_BYTES:
        raise ChainError(0, f"larger than {MAX_RECORD_BYTES} bytes")
    try:
        record = _read(json.loads(encoded.decode("utf-8")))
    except (jsonread.JsonShapeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ChainError(0, f"not a record: {error}") from error
    if encode_record(record) != encoded:
        raise ChainError(record.position, "not in canonical form")
    return record


def record_hash(encoded: bytes) -> Digest:
    """Hash a record's bytes under the context of transitions."""
    return Digest(hashlib.sha256(_TRANSITION + encoded).digest())


def verify_chain(
    encoded: Sequence[bytes], *, first_position: int = 0, previous: Digest | None = None
) -> tuple[PublicRecord, ...]:
    """Read records that follow each other without a gap from *first_position*, the first after *previous*.

    Raises:
        ChainError: a record is malformed, out of place, of another deployment, or its rules version falls.
    """
    records: list[PublicRecord] = []
    for position, raw in enumerate(encoded, first_position):
        record = decode_record(raw)
        if record.position != position:
            raise ChainError(position, f"claims to be record {record.position}")
        if record.previous != previous:
            raise ChainError(position, "does not follow the record before it")
        if (record.previous is None) != (position == 0):
            raise ChainError(position, "exactly the first record has no predecessor")
        if records:
            _check_succession(records[-1], record)
        records.append(record)
        previous = record_hash(raw)
    return tuple(records)


def last_signed(records: Sequence[PublicRecord]) -> PublicRecord:
    """Return the transition that decided the manifest of a history of signed commits."""
    return next(record for record in reversed(records) if record.kind in SIGNED)


def head_message(*, deployment: Digest | None, position: int, head: Digest) -> bytes:
    """Write down what the root key signs about the history's end."""
    body = {"deployment": _text_or_none(deployment), "position": position, "head": str(head)}
    return _HEAD + canonical_json(body)


def _check_succession(before: PublicRecord, record: PublicRecord) -> None:
    if record.kind in FIRST:
        raise ChainError(record.position, f"{record.kind} can only be the first transition")
    if (record.kind == "update") and before.deployment is None:
        raise ChainError(record.position, "a signed update of a deployment without signed commits")
    if record.deployment is not None and record.kind in ASSERTED - {"secrets-set"}:
        raise ChainError(record.position, f"{record.kind} in a deployment of signed commits")
    if record.rules_version < before.rules_version:
        raise ChainError(record.position, "the rules version falls")
    if record.deployment != before.deployment:
        raise ChainError(record.position, "another deployment")
    if record.kind == "secrets-set":
        if (record.version, record.manifest) != (before.version, before.manifest):
            raise ChainError(record.position, "writing a secret changed the manifest")
    elif before.version is not None and record.version != before.version + 1:
        raise ChainError(record.position, "the version is not the next one")


def _read(value: object) -> PublicRecord:
    given = jsonread.members(value, required=_MEMBERS, optional=("asserted",))
    kind = jsonread.text(given["kind"], name="kind", max_chars=32)
    if kind not in KINDS:
        raise jsonread.JsonShapeError(f"kind: expected one of {', '.join(sorted(KINDS))}")
    if (kind in ASSERTED) != ("asserted" in given):
        raise jsonread.JsonShapeError("asserted: there for transitions that a client certificate authorised")
    return PublicRecord(
        position=jsonread.integer(given["position"], name="position"),
        previous=jsonread.optional_digest(given["previous"], name="previous"),
        kind=kind,
        manifest=jsonread.digest(given["manifest"], name="manifest"),
        version=None
        if given["version"] is None
        else jsonread.integer(given["version"], name="version", minimum=1),
        deployment=jsonread.optional_digest(given["deployment"], name="deployment"),
        rules_version=jsonread.integer(given["rulesVersion"], name="rulesVersion", minimum=1),
        change_class=jsonread.text(given["class"], name="class", max_chars=32),
        weakens=jsonread.texts(given["weakens"], name="weakens", max_items=_MAX_ROWS, max_chars=_MAX_TEXT),
        approvals=_counted_rows(given["approvals"], "approvals"),
        key_proofs=_counted_rows(given["keyProofs"], "keyProofs"),
        floors=floors_from_json(given["floors"]),
        attested=attested_from_json(given["attested"]),
        revoked=jsonread.texts(given["revoked"], name="revoked", max_items=_MAX_ROWS, max_chars=256),
        evidence=tuple(
            jsonread.digest(row, name="evidence")
            for row in jsonread.items(given["evidence"], name="evidence", max_items=_MAX_ROWS)
        ),
        effects=jsonread.digest(given["effects"], name="effects"),
        assertion=_assertion_from_json(given["asserted"]) if "asserted" in given else None,
    )


def _assertion_to_json(assertion: Assertion) -> dict[str, object]:
    return {
        "user": assertion.user,
        "certificate": str(assertion.certificate),
        "secrets": list(assertion.secrets),
        "packages": [[name, version] for name, version in assertion.packages],
        "proposal": _text_or_none(assertion.proposal),
        "decreases": list(assertion.decreases),
    }


def _assertion_from_json(value: object) -> Assertion:
    given = jsonread.members(
        value, required=("user", "certificate", "secrets", "packages", "proposal", "decreases")
    )
    packages = jsonread.items(given["packages"], name="packages", max_items=_MAX_ROWS)
    return Assertion(
        user=jsonread.text(given["user"], name="user", max_chars=_MAX_TEXT),
        certificate=jsonread.digest(given["certificate"], name="certificate"),
        secrets=jsonread.texts(given["secrets"], name="secrets", max_items=_MAX_ROWS, max_chars=_MAX_TEXT),
        packages=tuple(_package_version(row) for row in packages),
        proposal=jsonread.optional_digest(given["proposal"], name="proposal"),
        decreases=jsonread.texts(
            given["decreases"], name="decreases", max_items=_MAX_ROWS, max_chars=_MAX_TEXT
        ),
    )


def _package_version(row: object) -> tuple[str, int]:
    pair = jsonread.items(row, name="packages", max_items=2)
    if len(pair) != 2:
        raise jsonread.JsonShapeError("packages: expected a name and a SecurityVersion")
    name = jsonread.text(pair[0], name="packages", max_chars=_MAX_TEXT)
    return name, jsonread.integer(pair[1], name="packages")


def _counted_rows(value: Any, name: str) -> tuple[CountedApproval, ...]:
    return tuple(counted_from_json(row) for row in jsonread.items(value, name=name, max_items=_MAX_ROWS))


def _text_or_none(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)
