"""What a host may not take back: the highest numbers and the latest time that verified collateral has shown.

Time inside an enclave is the host's, and so is the choice of collateral: without memory, both can be turned
back (attestation.md 2.6). Floors only rise, and only by what was verified: an unverified document could raise
them beyond everything that Intel will ever publish. Pure; whoever seals state keeps them, as bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509

from marbleops.attestation import tcb, x509chain
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.verdict import Code, Tee
from marbleops.collateral import limits
from marbleops.collateral.documents import UNREADABLE, DocumentError, list_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from marbleops.attestation.collateral import Collateral

_VERSION: Final = 1
TCB_INFO, QE_IDENTITY, REVOCATION_LIST = "tcb-info", "qe-identity", "crl"


class RollbackError(Exception):
    """Collateral is older than what was seen before. ``code`` is the verdict's."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{Code.COLLATERAL_ROLLBACK}: {detail}")
        self.code = Code.COLLATERAL_ROLLBACK
        self.detail = detail


class FloorsError(ValueError):
    """The bytes are no floors, or the collateral cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """The highest number of each series, and the latest time of publication.

    A series is ``tcb-info/TEE``, ``qe-identity/TEE`` or ``crl/ISSUER``, where the issuer is a hash over its
    name and key: Intel numbers the lists of each CA apart, and another root's lists are other lists. The same
    record says what one set of collateral shows (``observe``).
    """

    numbers: Mapping[str, int] = field(default_factory=dict)
    time: datetime | None = None

    def verification_time(self, clock: datetime) -> datetime:
        """Return the time at which to verify: the host's, but never before what was already published."""
        return clock if self.time is None else max(clock, self.time)

    def raised_by(self, seen: Floors) -> Floors:
        """Return the floors after *verified* collateral showed ``seen``. Nothing ever falls."""
        numbers = dict(self.numbers)
        for series, number in seen.numbers.items():
            numbers[series] = max(number, numbers.get(series, 0))
        times = [time for time in (self.time, seen.time) if time is not None]
        return Floors(numbers=numbers, time=max(times, default=None))

    def encode(self) -> bytes:
        """Return the floors as bytes, equal ones for equal floors."""
        time = None if self.time is None else self.time.astimezone(UTC).isoformat()
        document = {"version": _VERSION, "numbers": dict(self.numbers), "time": time}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Floors:
        """Read what ``encode`` wrote; raises ``FloorsError``."""
        if len(raw) > limits.MAX_FLOORS_BYTES:
            raise FloorsError(f"floors are longer than {limits.MAX_FLOORS_BYTES} bytes")
        try:
            document = json.loads(raw)
            version, numbers, time = (document[name] for name in ("version", "numbers", "time"))
            floors = cls(numbers=dict(numbers), time=None if time is None else datetime.fromisoformat(time))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FloorsError(f"not floors: {type(error).__name__}") from error
        if version != _VERSION or len(document) != 3:
            raise FloorsError(f"not floors of version {_VERSION}")
        if any(type(number) is not int or number < 0 for number in floors.numbers.values()):
            raise FloorsError("a floor is not a number")
        if floors.time is not None and floors.time.tzinfo is None:
            raise FloorsError("the time of floors has no zone")
        return floors


def check_floors(floors: Floors, seen: Floors) -> None:
    """Check that nothing in ``seen`` is below its floor; raises ``RollbackError`` with all that is."""
    below = [
        f"{series} has number {number}, {floor} was seen before"
        for series, number in sorted(seen.numbers.items())
        if number < (floor := floors.numbers.get(series, 0))
    ]
    if below:
        raise RollbackError("; ".join(below))


def observe(collateral: Collateral, tee: Tee) -> Floors:
    """Read from Intel's collateral what floors are made of; raises ``FloorsError``."""
    try:
        info = tcb.parse_tcb_info(collateral.tcb_info, tee)
        identity = tcb.parse_qe_identity(collateral.qe_identity, tee)
    except RejectedError as error:
        raise FloorsError(error.detail) from error
    signed = Floors(
        numbers={
            f"{TCB_INFO}/{tee}": info.evaluation_number,
            f"{QE_IDENTITY}/{tee}": identity.evaluation_number,
        },
        time=max(info.issue_date, identity.issue_date),
    )
    return signed.raised_by(observe_lists((collateral.root_ca_crl, collateral.pck_crl)))


def observe_lists(lists: Iterable[bytes]) -> Floors:
    """Read from revocation lists, Intel's or AMD's, what floors are made of; raises ``FloorsError``."""
    seen = Floors()
    for count, raw in enumerate(lists, 1):
        if count > limits.MAX_FLOOR_LISTS:
            raise FloorsError(f"more than {limits.MAX_FLOOR_LISTS} revocation lists")
        try:
            crl = x509chain.parse_crl(raw, label="revocation list")
            number = list_number(crl)
        except (RejectedError, DocumentError) as error:
            raise FloorsError(str(error)) from error
        numbers = {} if number is None else {f"{REVOCATION_LIST}/{_issuer(crl)}": number}
        seen = seen.raised_by(Floors(numbers=numbers, time=crl.last_update_utc))
    return seen


def _issuer(crl: x509.CertificateRevocationList) -> str:
    try:
        name = crl.issuer.public_bytes()
        return hashlib.sha256(len(name).to_bytes(4, "big") + name + _issuer_key(crl)).hexdigest()[:32]
    except UNREADABLE as error:
        raise FloorsError(f"unreadable revocation list: {error}") from error


def _issuer_key(crl: x509.CertificateRevocationList) -> bytes:
    try:
        found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return found.value.key_identifier or b""
