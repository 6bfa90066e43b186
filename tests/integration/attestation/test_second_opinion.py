"""dcap-qvl, an independent implementation, judges the simulation's evidence; divergences are listed."""

from __future__ import annotations

import dcap_qvl
import pytest

from conformance import quotesmith as smith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.dcap import verify_quote

pytestmark = pytest.mark.integration

# The bold rows of attestation.md 2.8 that concern SGX: what dcap-qvl 0.7.0 does not look at, or cannot allow.
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
}
SCENARIOS = smith.scenarios()


def accepts(scenario: smith.Scenario) -> tuple[bool, str]:
    collateral = dcap_qvl.QuoteCollateralV3.from_json(scenario.collateral.to_json())
    try:
        report = dcap_qvl.verify_with_root_ca(
            scenario.quote, collateral, smith.ANCHOR, int(scenario.at.timestamp())
        )
    except ValueError as error:
        return False, str(error)
    return True, report.status


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_second_opinion(scenario: smith.Scenario) -> None:
    """Both accept or both refuse, and agree on the status, except where the list says why not."""
    verdict = verify_quote(
        scenario.quote,
        scenario.collateral,
        anchors=Anchors.simulation(smith.ANCHOR),
        at=scenario.at,
        allow_debug=scenario.allow_debug,
    )

    accepted, status = accepts(scenario)

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
