"""The one table from errors to what callers see (architecture.md decision 8).

Each row: a stable code, the gRPC status, the HTTP status, and whether MarbleRun's envelope says *fail* (the
caller can do better) or *error*. A class without a row uses that of its nearest ancestor only where the test
allows it, which is nowhere: every class of ``coordinator.errors`` has its own row. Anything else is
``internal``, and its text stays here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
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


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error is shown."""

    code: str
    grpc: Code
    http: int
    kind: Kind


INTERNAL = Row("internal", Code.INTERNAL, 500, Kind.ERROR)

TABLE: Mapping[type[errors.CoordinatorError], Row] = MappingProxyType(
    {
        errors.CoordinatorError: INTERNAL,
        # MarbleRun's own calls answer 500 for these; its command line asserts the text, not the number.
        errors.WrongPhaseError: Row("wrong-phase", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.ManifestNotSetError: Row("manifest-not-set", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.ManifestRefusedError: Row("manifest-refused", Code.INVALID_ARGUMENT, 500, Kind.ERROR),
        errors.NotSupportedYetError: Row("not-supported-yet", Code.UNIMPLEMENTED, 501, Kind.ERROR),
        errors.GitOpsNotEnabledError: Row("gitops-not-enabled", Code.FAILED_PRECONDITION, 409, Kind.FAIL),
        errors.UnsupportedStatementError: Row("unsupported-statement", Code.UNIMPLEMENTED, 422, Kind.FAIL),
        errors.ConflictError: Row("conflict", Code.UNAVAILABLE, 409, Kind.FAIL),
        errors.MalformedRequestError: Row("malformed-request", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
        errors.TooLargeError: Row("too-large", Code.RESOURCE_EXHAUSTED, 413, Kind.FAIL),
        errors.TooManyRequestsError: Row("too-many-requests", Code.RESOURCE_EXHAUSTED, 429, Kind.FAIL),
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
        errors.StoreError: Row("store-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.CorruptStateError: Row("state-corrupt", Code.INTERNAL, 500, Kind.ERROR),
        errors.SealError: Row("unsealing-failed", Code.INTERNAL, 500, Kind.ERROR),
        errors.ForeignSealError: Row("foreign-seal", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.GitOpsEnforcedError: Row("gitops-enforced", Code.FAILED_PRECONDITION, 409, Kind.FAIL),
        errors.UserUnauthenticatedError: Row("user-unauthenticated", Code.UNAUTHENTICATED, 401, Kind.FAIL),
        errors.MarbleUnauthenticatedError: Row(
            "marble-unauthenticated", Code.UNAUTHENTICATED, 401, Kind.FAIL
        ),
        errors.NotPermittedError: Row("not-permitted", Code.PERMISSION_DENIED, 500, Kind.ERROR),
        errors.UpdateRefusedError: Row("update-refused", Code.INVALID_ARGUMENT, 500, Kind.ERROR),
        errors.UpdateInProgressError: Row("update-in-progress", Code.FAILED_PRECONDITION, 500, Kind.ERROR),
        errors.NoUpdateInProgressError: Row(
            "no-update-in-progress", Code.FAILED_PRECONDITION, 404, Kind.ERROR
        ),
        errors.SecretRefusedError: Row("secret-refused", Code.INVALID_ARGUMENT, 500, Kind.ERROR),
        errors.FeatureDisabledError: Row("feature-disabled", Code.PERMISSION_DENIED, 403, Kind.ERROR),
        errors.QuoteRefusedError: Row("quote-refused", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
        errors.CounterRefusedError: Row("counter-refused", Code.INVALID_ARGUMENT, 500, Kind.ERROR),
        errors.RecoveryRefusedError: Row("recovery-refused", Code.INVALID_ARGUMENT, 500, Kind.ERROR),
        errors.UndecryptableSecretError: Row("undecryptable-secret", Code.INVALID_ARGUMENT, 400, Kind.FAIL),
    }
)


def row_of(error: errors.CoordinatorError) -> Row:
    """Return the row of the error's own class."""
    return TABLE.get(type(error), INTERNAL)
