"""The one table: every class of ``coordinator.errors`` has its own row, and rows are sound."""

from __future__ import annotations

import inspect

import pytest

from coordinator import errors
from coordinator.api.errors import INTERNAL, TABLE, Kind, Manner, details, row_of, shown
from coordinator.api.grpc import Code

CLASSES = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.CoordinatorError)
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda one: one.__name__)
def test_every_class_has_a_row(error: type[errors.CoordinatorError]) -> None:
    """A new error without a row fails here."""
    row = TABLE[error]
    assert row.code == row.code.lower().replace("_", "-")
    assert row.grpc in Code
    assert 400 <= row.http <= 599


def test_the_table_has_nothing_else() -> None:
    """No row is for a class that is not ours."""
    assert set(TABLE) == set(CLASSES)


def test_an_unknown_class_is_internal() -> None:
    """A subclass somebody forgot is internal, not its parent's row."""

    class ForgottenError(errors.ConflictError):
        """Not in the table."""

    assert row_of(ForgottenError()) is INTERNAL


def test_marbleruns_answers() -> None:
    """The rows that MarbleRun's own tools depend on."""
    assert (TABLE[errors.RouteError].http, TABLE[errors.RouteError].kind) == (405, Kind.ERROR)
    assert TABLE[errors.WrongPhaseError].http == 500
    assert str(errors.WrongPhaseError()) == "server is not in expected state"
    assert TABLE[errors.MarbleRefusedError].grpc == Code.PERMISSION_DENIED
    assert TABLE[errors.MarblePhaseError].grpc == Code.FAILED_PRECONDITION
    assert TABLE[errors.InvalidMarbleRequestError].grpc == Code.INVALID_ARGUMENT
    assert TABLE[errors.UnauthenticatedError].grpc == Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("error", "v2", "v1", "v1_changes", "pending"),
    [
        (errors.WrongPhaseError, 500, 500, 400, 404),
        (errors.ManifestRefusedError, 500, 500, 400, 404),
        (errors.NotPermittedError, 500, 500, 400, 404),
        (errors.SecretRefusedError, 500, 500, 400, 404),
        (errors.NoUpdateInProgressError, 404, 404, 404, 404),
        (errors.MalformedRequestError, 400, 400, 400, 400),
        (errors.UserUnauthenticatedError, 401, 401, 401, 401),
        (errors.GitOpsEnforcedError, 409, 409, 409, 409),
        (errors.TooLargeError, 413, 413, 413, 413),
        (errors.StoreError, 500, 500, 500, 500),
    ],
)
def test_the_versions_differ(
    error: type[errors.CoordinatorError], v2: int, v1: int, v1_changes: int, pending: int
) -> None:
    """Version 1 says 400 where a change is refused, and never *fail* (marblerun-core section 11)."""
    row = TABLE[error]
    assert shown(row, Manner.V2) == (v2, row.kind)
    assert shown(row, Manner.V1) == (v1, Kind.ERROR)
    assert shown(row, Manner.V1_CHANGES) == (v1_changes, Kind.ERROR)
    assert shown(row, Manner.PENDING) == (pending, Kind.ERROR)


def test_what_a_fail_carries() -> None:
    """MarbleRun's own member of sign-quote, nothing where MarbleRun says nothing, and our codes."""
    quote = errors.QuoteRefusedError("no quote at all")
    assert str(quote) == "quote verification failed"
    assert details(quote, row_of(quote)) == {"sgxQuote": "quote verification failed: no quote at all"}
    for error in (errors.UserUnauthenticatedError(), errors.MalformedRequestError("EOF")):
        assert details(error, row_of(error)) is None
    for own in (errors.ConflictError(), errors.GitOpsEnforcedError(), errors.TooLargeError(1)):
        assert details(own, row_of(own)) == {"reason": row_of(own).code}
