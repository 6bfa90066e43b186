"""Judging a recovered history again (approvals.md section 3, *Side doors closed*).

Whoever recovers a state brings its key, and could have written any history under it. So every transition that
signed statements authorised is decided once more, from the manifest, the evidence and the inputs its record
names; transitions that a client certificate authorised may change no manifest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from coordinator.domain.history import Shelf
from coordinator.errors import CorruptStateError
from marbleops.approval.decide import decide
from marbleops.approval.decision import Outcome
from marbleops.approval.deployment import deployment_id
from marbleops.approval.enforced import Enforced
from marbleops.approval.errors import EvidenceError
from marbleops.approval.evidence import decode_evidence
from marbleops.approval.record import ASSERTED, decode_record
from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from marbleops.approval.decision import Decision
    from marbleops.approval.evidence import Piece
    from marbleops.approval.record import PublicRecord
    from marbleops.manifest.model import Manifest

Fetch: TypeAlias = "Callable[[Shelf, Digest], bytes | None]"
_MAX_NAMED = 10


def rejudge(encoded_records: Sequence[bytes], *, root_spki: bytes, fetch: Fetch) -> None:
    """Decide every signed transition of a verified chain again.

    Raises:
        CorruptStateError: evidence is missing, or a transition does not hold; the message names it.
    """
    records = [decode_record(encoded) for encoded in encoded_records]
    _check_complete(records, fetch)
    manifest: Manifest | None = None
    for record in records:
        place = f"the transition at position {record.position}"
        if record.kind in ASSERTED:
            if manifest is None or record.manifest != manifest.digest:
                raise CorruptStateError(f"{place} changed a signed manifest without signatures")
            continue
        if record.position == 0 and record.deployment != deployment_id(root_spki, record.manifest):
            raise CorruptStateError(f"{place} names a deployment that is not this root's")
        decision = _decide_again(record, manifest, fetch)
        _compare(record, decision, place)
        manifest = decision.manifest


def _check_complete(records: Sequence[PublicRecord], fetch: Fetch) -> None:
    missing = [digest for record in records for digest in record.evidence if not _has(fetch, digest)]
    if missing:
        named = ", ".join(map(str, missing[:_MAX_NAMED]))
        raise CorruptStateError(
            f"{len(missing)} pieces of evidence are missing, so the history cannot be judged again: {named}; "
            "put a backup of the store that has them in its place"
        )


def _has(fetch: Fetch, digest: Digest) -> bool:
    return fetch(Shelf.EVIDENCE, digest) is not None


def _decide_again(record: PublicRecord, before: Manifest | None, fetch: Fetch) -> Decision:
    raw = _content(Shelf.MANIFEST, record.manifest, fetch)
    pieces = [_piece(_content(Shelf.EVIDENCE, digest, fetch)) for digest in record.evidence]
    if before is None:
        return decide(enforced=None, raw=raw, evidence=pieces)
    if record.deployment is None or before.gitops is None:
        raise CorruptStateError(f"the transition at position {record.position} is in no signed deployment")
    enforced = Enforced(
        manifest=before,
        deployment=record.deployment,
        floors=record.floors,
        attested=record.attested,
        revoked=frozenset(record.revoked),
    )
    return decide(enforced=enforced, raw=raw, evidence=pieces)


def _compare(record: PublicRecord, decision: Decision, place: str) -> None:
    """Hold the record against the decision: what was recorded is what is decided, no more and no less."""
    if decision.outcome is not Outcome.WOULD_APPLY:
        raise CorruptStateError(f"{place} does not hold when it is judged again: {decision.summary}")
    change_class = None if decision.change_class is None else decision.change_class.value
    recorded = (record.change_class, record.version, record.weakens, record.approvals, record.key_proofs)
    decided = (change_class, decision.version, decision.weakens, decision.approvals, decision.key_proofs)
    if recorded != decided:
        raise CorruptStateError(f"{place} was recorded otherwise than it is judged again")


def _content(shelf: Shelf, digest: Digest, fetch: Fetch) -> bytes:
    content = fetch(shelf, digest)
    if content is None or Digest.of(content) != digest:
        raise CorruptStateError(f"the {shelf} blob {digest} is missing or has another content")
    return content


def _piece(encoded: bytes) -> Piece:
    try:
        (piece,) = decode_evidence([json.loads(encoded)])
    except (ValueError, EvidenceError) as error:
        raise CorruptStateError("a piece of evidence cannot be read") from error
    return piece
