"""The one table from errors to what callers see (architecture.md decision 8).

Each row: a stable code, the gRPC status, the HTTP status, and whether MarbleRun's envelope says *fail* (the
caller can do better) or *error*. A class without a row uses that of its nearest ancestor only where the test
allows it, which is nowhere: every class of ``coordinator.errors`` has its own row. Anything else is
``internal``, and its text stays here.

The rows say what version 2 of MarbleRun's interface answers. Version 1 has rules of its own for the same
rows: ``shown`` knows them (marblerun-core section 11).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator import errors
from coordinator.api.grpc import Code

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """The word in the envelope's ``status``."""

    FAIL = "fail"
    ERROR = "error"


class Manner(Enum):
    """How a call shows its refusals."""

    V2 = auto()
    """As the rows say."""
    V1 = auto()
    """Version 1 has no *fail*."""
    V1_CHANGES = auto()
    """As V1, and an operation that MarbleRun refuses is the caller's fault: 400."""
    PENDING = auto()
    """Reading the pending update, in both versions: whatever is wrong, there is none to be found, 404."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error is shown. An *operation* is one that MarbleRun refuses after it read the call."""

    code: str
    grpc: Code
    http: int
    kind: Kind
    operation: bool = False


def _operation(code: str, grpc: Code) -> Row:
    return Row(code, grpc, 500, Kind.ERROR, operation=True)


INTERNAL = Row("internal", Code.INTERNAL, 500, Kind.ERROR)

TABLE: Mapping[type[errors.CoordinatorError], Row] = MappingProxyType(
    {
        errors.CoordinatorError: INTERNAL,
        errors.WrongPhaseError: _operation("wrong-phase", Code.FAILED_PRECONDITION),
        errors.ManifestNotSetError: _operation("manifest-not-set", Code.FAILED_PRECONDITION),
        errors.ManifestRefusedError: _operation("manifest-refused", Code.INVALID_ARGUMENT),
        errors.NotSupportedYetError: Row("not-supported-yet", Code.UNIMPLEMENTED, 501, Kind.ERROR),
        errors.GitOpsNotEnabledError: Row("gitops-not-enabled", Code.FAILED_PRECONDITION, 409, Kind.FAIL),
        errors.UnsupportedStatementError: Row("unsupported-statement", Code.UNIMPLEMENTED, 422, Kind.FAIL),
        errors.ConflictError: Row("conflict", Code.UNAVAILABLE, 409, Kind.FAIL),
        errors.MalformedRequestError: Row("malformed-request", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
        errors.TooLargeError: Row("too-large", Code.RESOURCE_EXHAUSTED, 413, Kind.FAIL),
        errors.TooManyRequestsError: Row("too-many-requests", Code.RESOURCE_EXHAUSTED, 429, Kind.FAIL),
        errors.BusyError: Row("busy", Code.UNAVAILABLE, 503, Kind.FAIL),
        errors.SlowRequestError: Row("slow-request", Code.DEADLINE_EXCEEDED, 408, Kind.FAIL),
        errors.RouteError: Row("no-such-route", Code.UNIMPLEMENTED, 405, Kind.ERROR),
        errors.NotAvailableError: Row("not-available", Code.UNIMPLEMENTED, 404, Kind.FAIL),
        errors.ForbiddenError: Row("forbidden", Code.PERMISSION_DENIED, 403, Kind.FAIL),
        errors.UnauthenticatedError: Row("unauthenticated", Code.UNAUTHENTICATED, 401, Kind.FAIL),
        errors.MarbleRefusedError: Row("marble-refused", Code.PERMISSION_DENIED, 403, Kind.ERROR),
        errors.MarblePhaseError: Row("wrong-phase", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.InvalidMarbleRequestError: Row(
            "invalid-marble-request", Code.INVALID_ARGUMENT, 400, Kind.ERROR
        ),
        errors.ActivationFailedError: Row("activation-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.PlatformError: Row("platform-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.StoreError: Row("store-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.CorruptStateError: Row("state-corrupt", Code.INTERNAL, 500, Kind.ERROR),
        errors.SealError: Row("unsealing-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.ForeignSealError: Row("foreign-seal", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.GitOpsEnforcedError: Row("gitops-enforced", Code.FAILED_PRECONDITION, 409, Kind.FAIL),
        errors.UserUnauthenticatedError: Row("user-unauthenticated", Code.UNAUTHENTICATED, 401, Kind.FAIL),
        errors.MarbleUnauthenticatedError: Row(
            "marble-unauthenticated", Code.UNAUTHENTICATED, 401, Kind.FAIL
        ),
        errors.NotPermittedError: _operation("not-permitted", Code.PERMISSION_DENIED),
        errors.UpdateRefusedError: _operation("update-refused", Code.INVALID_ARGUMENT),
        errors.UpdateInProgressError: _operation("update-in-progress", Code.FAILED_PRECONDITION),
        errors.NoUpdateInProgressError: Row(
            "no-update-in-progress", Code.FAILED_PRECONDITION, 404, Kind.ERROR
        ),
        errors.SecretRefusedError: _operation("secret-refused", Code.INVALID_ARGUMENT),
        errors.FeatureDisabledError: Row("feature-disabled", Code.PERMISSION_DENIED, 403, Kind.ERROR),
        errors.QuoteRefusedError: Row("quote-refused", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
        errors.CounterRefusedError: _operation("counter-refused", Code.INVALID_ARGUMENT),
        errors.RecoveryRefusedError: _operation("recovery-refused", Code.INVALID_ARGUMENT),
        errors.UndecryptableSecretError: Row("undecryptable-secret", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
    }
)


def row_of(error: errors.CoordinatorError) -> Row:
    """Return the row of the error's own class."""
    return TABLE.get(type(error), INTERNAL)


def shown(row: Row, manner: Manner) -> tuple[int, Kind]:
    """Return the HTTP status and the envelope's word for *row* in a call of this *manner*."""
    if manner is Manner.V2:
        return row.http, row.kind
    if row.operation and manner is Manner.V1_CHANGES:
        return 400, Kind.ERROR
    if row.operation and manner is Manner.PENDING:
        return 404, Kind.ERROR
    return row.http, Kind.ERROR


def details(error: errors.CoordinatorError, row: Row) -> Mapping[str, str] | None:
    """Return what a *fail* carries beside its message: MarbleRun's member, or the code of our own refusal."""
    if isinstance(error, errors.QuoteRefusedError):
        return {"sgxQuote": f"{error}: {error.why}"}
    return {"reason": row.code} if row.http in _OURS else None


_OURS = frozenset({403, 404, 408, 409, 413, 422, 429})
"""Statuses that MarbleRun never gives to a *fail*."""
