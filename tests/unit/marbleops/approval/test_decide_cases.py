"""The conformance cases of ``decide`` cover the vocabulary; ``python -m conformance.run`` asks them all."""

from __future__ import annotations

from conformance.cases_decide import CASES
from marbleops.approval.reasons import Reason

ELSEWHERE = {Reason.WITHDRAWN, Reason.CONFLICT}
"""``withdrawn`` needs statements that come with a later issue, ``conflict`` is the Coordinator's."""


def test_every_reason_has_a_case() -> None:
    """No word of the vocabulary is without a question that it answers."""
    seen = {reason for case in CASES for reason in case["expected"]["reasons"]}
    assert {str(reason) for reason in set(Reason) - ELSEWHERE} <= seen
