"""Every conformance case of ``decide`` has the answer that was written down for it."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.answer_decide import answer
from conformance.cases_decide import CASES
from marbleops.approval.reasons import Reason

ELSEWHERE = {Reason.WITHDRAWN, Reason.CONFLICT}
"""``withdrawn`` needs statements that come with a later issue, ``conflict`` is the Coordinator's."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any]) -> None:
    """The answer is the expected one, member by member."""
    found = answer(case["input"])
    assert {name: found[name] for name in case["expected"]} == case["expected"]


def test_every_reason_has_a_case() -> None:
    """No word of the vocabulary is without a question that it answers."""
    seen = {reason for case in CASES for reason in case["expected"]["reasons"]}
    assert {str(reason) for reason in set(Reason) - ELSEWHERE} <= seen
