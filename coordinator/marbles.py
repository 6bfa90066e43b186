"""The calls of marbles: activation, and what an activated marble may ask for."""

from __future__ import annotations

import base64
import contextlib
import uuid as uuids
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coordinator.domain import activation
from coordinator.domain.pki import MARBLE_TYPE_OID
from coordinator.errors import (
    ConflictError,
    CounterRefusedError,
    InvalidMarbleRequestError,
    MarblePhaseError,
    MarbleRefusedError,
    MarbleUnauthenticatedError,
)
from coordinator.ports import ActivationEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from coordinator.core import Core
    from coordinator.domain.activation import ActivationRequest, Admission, RenderedParameters
    from coordinator.domain.state import Ledger, State
    from coordinator.guard import LedgerChange
    from marbleops.attestation.verdict import Verdict

MAX_COUNTERS = 10_000
"""Of one deployment; each type of marble has its part. They are part of every write of the ledger."""
MAX_COUNTER_NAME_BYTES = 256
MAX_COUNTER_VALUE = 2**64 - 1
_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    InvalidSignature,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    InvalidMarbleRequestError,
)
_ATTEMPTS = 16
"""An update between admission and commit makes a marble's turn start over; so many in a row do not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarbleIdentity:
    """An activated marble, from the certificate it got."""

    type: str
    uuid: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An activation that only the ledger's write is missing of. Decided on ``state``; not in the repr."""

    request: ActivationRequest
    evidence: bytes = field(repr=False)
    verdict: Verdict | None = field(repr=False)
    at: datetime
    state: State = field(repr=False)
    admission: Admission = field(repr=False)
    rendered: RenderedParameters = field(repr=False)

    @property
    def writes(self) -> bool:
        """Whether the ledger has to remember anything: then ``finish`` waits for the disk."""
        return activation.count(self.state.ledger, self.admission) is not self.state.ledger


class Marbles:
    """What marbles may ask for."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def activate(self, request: ActivationRequest, evidence: bytes) -> RenderedParameters:
        """Admit a marble and give it its certificate, key, secrets, files, environment and arguments.

        What the marble uses up is durable before the answer exists.

        Raises:
            MarblePhaseError, MarbleRefusedError, InvalidMarbleRequestError, ActivationFailedError: see
            ``activation``. ConflictError: the manifest kept changing.
        """
        return self.finish(self.prepare(request, evidence))

    def is_brief(self, marble_type: str) -> bool:
        """Say whether ``prepare`` takes a few milliseconds at most: then a caller need not change threads."""
        enforcement = self._core.snapshot().enforcement
        return enforcement is None or activation.is_brief(enforcement.manifest, marble_type)

    def prepare(self, request: ActivationRequest, evidence: bytes) -> Prepared:
        """Do all of an activation but the write, without waiting for a lock. Raises as ``activate``."""
        enforcement = self._core.snapshot().enforcement
        known = enforcement is not None and request.marble_type in enforcement.manifest.marbles
        self._core.ports.observer.activation_attempt(request.marble_type if known else None, request.uuid)
        if enforcement is None:
            raise MarblePhaseError
        if not known:
            raise MarbleRefusedError("unknown marble type requested")
        return self._prepare(request, evidence, self._verdict(evidence))

    def _prepare(self, request: ActivationRequest, evidence: bytes, verdict: Verdict | None) -> Prepared:
        state, making = self._core.snapshot(), self._core.making()
        admission = activation.admit(state, request, verdict)
        return Prepared(
            request=request,
            evidence=evidence,
            verdict=verdict,
            at=making.at,
            state=state,
            admission=admission,
            rendered=activation.parameters(state, admission, csr=request.csr, making=making),
        )

    def finish(self, prepared: Prepared) -> RenderedParameters:
        """Make it durable; what an update has overtaken is prepared again. Raises as ``activate``."""
        for _ in range(_ATTEMPTS):
            try:
                self._core.guard.commit_ledger(prepared.state, _counting(prepared.admission))
            except ConflictError:
                prepared = self._prepare(prepared.request, prepared.evidence, prepared.verdict)
                continue
            request = prepared.request
            self._core.ports.observer.activation_success(
                ActivationEvent(
                    at=prepared.at,
                    marble_type=request.marble_type,
                    uuid=request.uuid,
                    quote=prepared.evidence,
                )
            )
            return prepared.rendered
        raise ConflictError

    def authenticate(self, certificates: Sequence[bytes]) -> MarbleIdentity:
        """Find the marble that the current marble root has issued the first certificate to.

        Only of the first one of those presented has TLS proven the key.

        Raises:
            WrongPhaseError: nothing is enforced.
            MarbleUnauthenticatedError: it is not the certificate (DER) of a marble.
        """
        return self._identify(self._core.running(), certificates)

    def _identify(self, state: State, certificates: Sequence[bytes]) -> MarbleIdentity:
        issuer = state.authorities.marble_root.certificate
        for encoded in certificates[:1]:
            with contextlib.suppress(*_UNREADABLE):
                return _identity(encoded, issuer, self._core.ports.clock.now())
        raise MarbleUnauthenticatedError

    def count(self, marble: MarbleIdentity, name: str, value: int) -> int:
        """Raise a monotonic counter of *marble* to *value* if that is more; return what it was (section 9).

        Raises:
            WrongPhaseError: nothing is enforced. CounterRefusedError: beyond what is kept.
            MarbleUnauthenticatedError: an update has come since the marble was authenticated.
        """
        state = self._core.running()
        marble = self._identify(state, (marble.certificate,))
        if len(name.encode()) > MAX_COUNTER_NAME_BYTES:
            raise CounterRefusedError(f"the name of a counter has at most {MAX_COUNTER_NAME_BYTES} bytes")
        if not 0 <= value <= MAX_COUNTER_VALUE:
            raise CounterRefusedError("the value of a counter is an unsigned 64-bit integer")
        counter = ":".join(
            base64.b64encode(part).decode()
            for part in (marble.type.encode(), uuids.UUID(marble.uuid).bytes, name.encode())
        )
        assert state.enforcement is not None
        part = max(1, MAX_COUNTERS // max(1, len(state.enforcement.manifest.marbles)))
        before: list[int] = []

        def change(ledger: Ledger) -> Ledger:
            before[:] = [ledger.counters.get(counter, 0)]
            return _counted(ledger, counter, value, part)

        self._core.guard.commit_ledger(state, change)
        return before[0]

    def _verdict(self, evidence: bytes) -> Verdict | None:
        if not evidence and self._core.options.accept_empty_quotes:
            return None
        if not evidence:
            raise MarbleRefusedError("invalid quote: empty report")
        return self._core.ports.verifier.verify(evidence, self._core.ports.clock.now())


def _counting(admission: Admission) -> LedgerChange:
    return lambda ledger: activation.count(ledger, admission)


def _counted(ledger: Ledger, counter: str, value: int, part: int) -> Ledger:
    """Raise a counter; new ones are within the *part* of its type, so that no type takes those of others."""
    if value <= ledger.counters.get(counter, 0):
        return ledger
    if counter not in ledger.counters:
        own = counter.partition(":")[0] + ":"
        if (
            len(ledger.counters) >= MAX_COUNTERS
            or sum(name.startswith(own) for name in ledger.counters) >= part
        ):
            raise CounterRefusedError(
                f"this deployment keeps {MAX_COUNTERS} counters, {part} for each type of marble, "
                "and all of this type are in use"
            )
    return replace(ledger, counters=MappingProxyType({**ledger.counters, counter: value}))


def _identity(encoded: bytes, issuer: x509.Certificate, at: datetime) -> MarbleIdentity:
    """Read a marble's identity from its leaf; whatever is wrong is one of the unreadable errors."""
    certificate = x509.load_der_x509_certificate(encoded)
    certificate.verify_directly_issued_by(issuer)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise ValueError("expired")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage or constraints.ca:
        raise ValueError("not the certificate of a marble")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    kind = certificate.extensions.get_extension_for_oid(MARBLE_TYPE_OID).value
    if len(names) != 1 or not isinstance(kind, x509.UnrecognizedExtension):
        raise ValueError("not the certificate of a marble")
    uuid = activation.parse_uuid(str(names[0].value))
    return MarbleIdentity(type=kind.value.decode(), uuid=uuid, certificate=encoded)
