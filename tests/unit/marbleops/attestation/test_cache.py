"""The remembering verifier answers what the forgetful one answers, bounded, and with fresh times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from conformance import quotesmith as smith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.verdict import Code

ANCHORS = Anchors.simulation(smith.ANCHOR)
QUOTE, GOOD = smith.raw_quote(), smith.collateral()


def test_same_answers() -> None:
    """Verdict and every check are equal for all scenarios, in any order, also the second time."""
    verifier = QuoteVerifier(ANCHORS)
    chosen = smith.scenarios()[::6]

    for scenario in (*chosen, *reversed(chosen)):
        remembered = verifier.verify(
            scenario.quote, scenario.collateral, at=scenario.at, allow_debug=scenario.allow_debug
        )
        forgetful = verify_quote(
            scenario.quote,
            scenario.collateral,
            anchors=ANCHORS,
            at=scenario.at,
            allow_debug=scenario.allow_debug,
        )
        assert remembered == forgetful


def test_time_is_judged_anew() -> None:
    """What verified yesterday is refused once its collateral has expired."""
    verifier = QuoteVerifier(ANCHORS)

    assert verifier.verify(QUOTE, GOOD, at=smith.AT).code is Code.OK
    assert verifier.verify(QUOTE, GOOD, at=smith.AT + timedelta(days=31)).code is Code.CRL_EXPIRED
    assert verifier.verify(QUOTE, GOOD, at=smith.AT - timedelta(days=31)).code is Code.CERT_EXPIRED
    assert verifier.verify(QUOTE, GOOD, at=smith.AT).code is Code.OK


def test_memory_is_bounded() -> None:
    """However much is verified, no more than the given number of results is held."""
    verifier = QuoteVerifier(ANCHORS, cache_size=4)

    for hours in range(5):
        collateral = smith.collateral(at=smith.AT + timedelta(hours=hours))
        assert verifier.verify(QUOTE, collateral, at=smith.AT + timedelta(hours=hours)).code is Code.OK

    assert verifier.remembered == 4


def test_failures_are_not_remembered() -> None:
    """A flood of bad evidence leaves nothing behind."""
    verifier = QuoteVerifier(ANCHORS)

    for length in range(0, 400, 50):
        verifier.verify(QUOTE[:length], GOOD, at=smith.AT)

    assert verifier.remembered == 0
    with pytest.raises(ValueError, match="cache_size"):
        QuoteVerifier(ANCHORS, cache_size=0)
