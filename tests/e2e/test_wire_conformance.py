"""All conformance cases over the wire, against real processes of our Coordinator."""

from __future__ import annotations

import pytest

from conformance.wire import build
from conformance.wire.__main__ import load_cases, run_all

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def test_committed_cases_are_what_the_code_builds() -> None:
    """``python -m conformance.wire.build`` was run."""
    assert build.main(["--check"]) == 0


def test_every_answer_is_as_expected() -> None:
    """No case has a wrong answer, and none is skipped."""
    states, cases = load_cases()
    ours = [case for case in cases if case.get("only", "marbleops") == "marbleops"]

    outcomes = run_all("marbleops", ours, states)

    assert len(outcomes) == len(ours)
    assert {one.case["id"]: one.wrong or one.skipped for one in outcomes if one.wrong or one.skipped} == {}
