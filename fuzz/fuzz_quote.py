"""Invariant: any evidence gets a verdict, and only a report that was really signed is ever accepted.

Run with atheris where installed, or ``python -m fuzz.fuzz_quote --runs 20000 [--seed 1]`` for a plain loop.
"""

from __future__ import annotations

from conformance import quotesmith as smith
from fuzz.mutate import run
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier

QUOTE = smith.raw_quote()
SEEDS = [QUOTE, smith.oe_report(QUOTE), *(scenario.quote for scenario in smith.scenarios())]
COLLATERAL = smith.collateral()
VERIFIER = QuoteVerifier(Anchors.simulation(smith.ANCHOR), cache_size=64)
VERDICTS = [VERIFIER.verify(seed, COLLATERAL, at=smith.AT, allow_debug=True) for seed in SEEDS]
SIGNED = {verdict.report for verdict in VERDICTS if verdict.accepted}


def one_input(evidence: bytes) -> None:
    verdict = VERIFIER.verify(evidence, COLLATERAL, at=smith.AT, allow_debug=True)
    assert verdict.checks[-1].ok == verdict.accepted
    assert not verdict.accepted or verdict.report in SIGNED, "a report that nobody signed is accepted"


if __name__ == "__main__":
    run(one_input, SEEDS)
