"""Invariant: any evidence gets a verdict, and only a report that was really signed is ever accepted.

Enclaves and trust domains, raw and in Open Enclave's headers, each against the collateral of its kind.
Run with atheris where installed, or ``python -m fuzz.fuzz_quote --runs 20000 [--seed 1]`` for a plain loop.
"""

from __future__ import annotations

from conformance import quotesmith as smith
from conformance import tdsmith
from fuzz.mutate import run
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.policy import VerificationPolicy

QUOTE = smith.raw_quote()
SCENARIOS: tuple[smith.Scenario | tdsmith.TdScenario, ...] = (*smith.scenarios(), *tdsmith.scenarios())
SEEDS = [QUOTE, smith.oe_report(QUOTE), *dict.fromkeys(scenario.quote for scenario in SCENARIOS)]
COLLATERALS = (smith.collateral(), tdsmith.collateral())
POLICY = VerificationPolicy(allow_debug=True, td_sept_ve_disable_required=False)
VERIFIER = QuoteVerifier(Anchors.simulation(smith.ANCHOR), cache_size=64)
VERDICTS = [
    VERIFIER.verify(seed, collateral, at=smith.AT, policy=POLICY)
    for seed in SEEDS
    for collateral in COLLATERALS
]
SIGNED = {verdict.report for verdict in VERDICTS if verdict.accepted}


def one_input(evidence: bytes) -> None:
    for collateral in COLLATERALS:
        verdict = VERIFIER.verify(evidence, collateral, at=smith.AT, policy=POLICY)
        assert verdict.checks[-1].ok == verdict.accepted
        assert not verdict.accepted or verdict.report in SIGNED, "a report that nobody signed is accepted"


if __name__ == "__main__":
    run(one_input, SEEDS, seconds=0.05)
