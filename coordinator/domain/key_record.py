"""Key records: what stands in plain beside the sealed state about one data key.

A record names its key one-way, says how the key was shared out, and holds the key before it encrypted under
the new one: whoever has the newest key reads everything. The encrypted part authenticates the plain one, so
that a record altered on the disk is noticed as soon as its key is known.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coordinator.domain import envelope
from coordinator.domain.recovery import RecoveryData
from coordinator.errors import CorruptStateError, SealError
from marbleops.manifest.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 1
_AAD = b"marbleops/key-record/v1\0"
MAX_RECORD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """The plain part. ``signed``: the state is a deployment with a GitOps section (the GitOps mark).

    ``policy`` is the platform sealing that wraps the key; ``recovery`` is None where the data were lost.
    """

    key_id: str
    policy: str
    signed: bool
    recovery: RecoveryData | None

    def to_json(self) -> dict[str, object]:
        """Return the plain form."""
        recovery = None if self.recovery is None else self.recovery.to_json()
        return {
            "format": _FORMAT,
            "id": self.key_id,
            "policy": self.policy,
            "signed": self.signed,
            "recovery": recovery,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """Plain facts and what is sealed under the key itself."""

    facts: KeyFacts
    sealed: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the record."""
        return canonical_json({**self.facts.to_json(), "sealed": base64.b64encode(self.sealed).decode()})

    def previous(self, key: bytes) -> bytes | None:
        """Return the data key before this one, or None where it is the first.

        Raises:
            SealError: the record was altered, or is of another key.
            CorruptStateError: it does not say what a record says.
        """
        try:
            plain = envelope.unseal({self.facts.key_id: key}, self.sealed, _aad(self.facts))
        except SealError as error:
            raise SealError(f"the record of the data key {self.facts.key_id} was altered") from error
        return _read_previous(plain)


def make_record(facts: KeyFacts, key: bytes, previous: bytes | None, *, salt: bytes) -> KeyRecord:
    """Make the record of *key*, which follows *previous*."""
    plain = {"previous": None if previous is None else previous.hex()}
    return KeyRecord(facts=facts, sealed=envelope.seal(key, canonical_json(plain), _aad(facts), salt=salt))


def decode_record(encoded: bytes) -> KeyRecord:
    """Read a record.

    Raises:
        CorruptStateError: it is none.
    """
    try:
        if len(encoded) > MAX_RECORD_BYTES:
            raise CorruptStateError("a key record is too long")
        return _from_json(json.loads(encoded))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptStateError("a key record cannot be read") from error


def _from_json(document: Mapping[str, object]) -> KeyRecord:
    match document:
        case {
            "format": 1,
            "id": str(key_id),
            "policy": str(policy),
            "signed": bool(signed),
            "recovery": recovery,
            "sealed": str(sealed),
        }:
            data = None if recovery is None else RecoveryData.from_json(recovery)
            facts = KeyFacts(key_id=key_id, policy=policy, signed=signed, recovery=data)
            return KeyRecord(facts=facts, sealed=base64.b64decode(sealed, validate=True))
    raise CorruptStateError("a key record has a format this build does not know")


def _read_previous(plain: bytes) -> bytes | None:
    try:
        previous = json.loads(plain)["previous"]
        return None if previous is None else bytes.fromhex(previous)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptStateError("a key record does not name the key before it") from error


def _aad(facts: KeyFacts) -> bytes:
    return _AAD + canonical_json(facts.to_json())
