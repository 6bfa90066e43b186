"""dcap-qvl, an independent implementation, judges the simulation's evidence; divergences are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dcap_qvl
import pytest

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.policy import VerificationPolicy

if TYPE_CHECKING:
    from marbleops.attestation.verdict import Verdict

pytestmark = pytest.mark.integration

# The bold rows of attestation.md 2.8, and what else dcap-qvl 0.7.0 does not look at, or cannot allow.
DIVERGENCES = {
    "debug-allowed": "has no switch to allow debug enclaves",
    "root-same-name": "ignores the root in the quote and uses its anchor, which is harmless",
    "tcb-pceid": "does not compare PCEID",
    "pck-crl-future": "does not look at thisUpdate",
    "qe-signed-by-pck": "does not check who may sign a QE identity",
    "tcb-signed-by-pck": "does not check who may sign TCB info",
    "qe-report-data-tail": "compares only the first half",
    "trailing-junk": "ignores what follows the quote",
    "not-initialised": "does not check INIT",
    "td-debug-allowed": "has no switch to allow debug domains",
    "td-sept-ve-allowed": "has no switch for SEPT_VE_DISABLE",
    "td-migratable": "refuses every domain that may migrate",
    "td-service": "refuses every domain with a service domain",
    "td-bit-16": "knows an attribute that attestation.md 1.2 does not list",
    "td-module-twice": "takes the first of two module identities",
    "td-trailing-junk": "ignores what follows the quote",
    "td-outer-type": "does not look at the outer type",
}
SCENARIOS: tuple[smith.Scenario | tdsmith.TdScenario, ...] = (*smith.scenarios(), *tdsmith.scenarios())


def accepts(scenario: smith.Scenario | tdsmith.TdScenario) -> tuple[bool, str]:
    at = scenario.at if isinstance(scenario, smith.Scenario) else smith.AT
    collateral = dcap_qvl.QuoteCollateralV3.from_json(scenario.collateral.to_json())
    try:
        report = dcap_qvl.verify_with_root_ca(scenario.quote, collateral, smith.ANCHOR, int(at.timestamp()))
    except ValueError as error:
        return False, str(error)
    return True, report.status


def verify(scenario: smith.Scenario | tdsmith.TdScenario) -> Verdict:
    if isinstance(scenario, smith.Scenario):
        at, policy = scenario.at, VerificationPolicy(allow_debug=scenario.allow_debug)
    else:
        at, policy = smith.AT, scenario.policy
    anchors = Anchors.simulation(smith.ANCHOR)
    return verify_quote(scenario.quote, scenario.collateral, anchors=anchors, at=at, policy=policy)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_second_opinion(scenario: smith.Scenario | tdsmith.TdScenario) -> None:
    """Both accept or both refuse, and agree on the status, except where the list says why not."""
    verdict = verify(scenario)

    accepted, status = accepts(scenario)

    assert accepted == scenario.dcap_qvl_accepts
    assert (accepted != verdict.accepted) == (scenario.name in DIVERGENCES)
    if accepted and verdict.accepted:
        assert status == verdict.status


def test_divergences_are_real() -> None:
    """No entry of the list is a leftover."""
    assert set(DIVERGENCES) <= {scenario.name for scenario in SCENARIOS}


def test_intel_refuses_the_simulation() -> None:
    """Under Intel's built-in root the simulation's evidence is refused there too."""
    collateral = dcap_qvl.QuoteCollateralV3.from_json(smith.collateral().to_json())

    with pytest.raises(ValueError, match="Verification failed"):
        dcap_qvl.verify(smith.raw_quote(), collateral, int(smith.AT.timestamp()))
