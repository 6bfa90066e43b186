"""The one table: every class of ``coordinator.errors`` has its own row, and rows are sound."""

from __future__ import annotations

import inspect

import pytest

from coordinator import errors
from coordinator.api.errors import INTERNAL, TABLE, Kind, row_of
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
