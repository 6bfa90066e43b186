"""Real quotes and published negative cases, which lie beside the project and are not part of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dcap_qvl
import pytest

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.verdict import Code

pytestmark = pytest.mark.integration

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation"
NEGATIVE = VECTORS / "softtee-negative"
CASES = sorted(path.parent.name for path in NEGATIVE.glob("*/expected.json"))
# This verifier knows SGX only. Each of these is a TDX quote; no other vector may answer UNSUPPORTED_TEE.
TDX = {name for name in CASES if "tdx" in name}
# dcap-qvl 0.7.0 on real quotes (index.json): it cannot allow debug enclaves, and does not know TCB info v2.
DIVERGENCES = {
    "automata/solana/quote_sgx.bin": "debug cannot be allowed",
    "trustee/occlum_quote.dat": "debug cannot be allowed",
    "openenclave/oe_sgx_quote.bin": "debug cannot be allowed, and TCB info is version 2",
}


def sgx_entries() -> list[dict[str, Any]]:
    if not VECTORS.is_dir():
        return []
    index = json.loads((VECTORS / "index.json").read_text())
    entries = [entry for group in index.values() for entry in group if isinstance(entry, dict)]
    return [entry for entry in entries if entry.get("body") == "sgx"]


def read_quote(entry: dict[str, Any]) -> bytes:
    raw = (VECTORS / entry["file"]).read_bytes()
    return bytes.fromhex(raw.decode().strip().removeprefix("0x")) if entry["file"].endswith(".hex") else raw


@pytest.mark.skipif(not CASES, reason="../shared/vectors/attestation is not here")
def test_there_are_vectors() -> None:
    """All published negative cases are run, and exactly the TDX ones are out of scope."""
    assert len(CASES) == 54
    assert len(sgx_entries()) >= 6
    assert len(TDX) == 9


@pytest.mark.parametrize("name", CASES)
def test_negative_case(name: str) -> None:
    """The verdict and code are the published ones, and dcap-qvl's acceptance agrees."""
    folder = NEGATIVE / name
    expected = json.loads((folder / "expected.json").read_text())
    quote, root = (folder / "quote.bin").read_bytes(), (NEGATIVE / expected["root"]).read_bytes()
    text = (folder / "collateral.json").read_text()

    verdict = verify_quote(
        quote,
        Collateral.from_json(text),
        anchors=Anchors.simulation(root),
        at=datetime.fromtimestamp(expected["now"], UTC),
        allow_debug=expected["allow_debug"],
    )

    if name in TDX:
        assert verdict.code is Code.UNSUPPORTED_TEE
        return
    assert verdict.code.value == (expected["reason_code"] or "OK"), verdict.detail
    assert verdict.accepted == expected["should_succeed"]
    if verdict.accepted:
        assert verdict.status == expected["status"]
    assert second_opinion(quote, text, expected["now"], root) == verdict.accepted


@pytest.mark.parametrize("entry", sgx_entries(), ids=lambda entry: entry["file"])
def test_real_quote(entry: dict[str, Any]) -> None:
    """Quotes of real hardware get the recorded verdict under Intel's root, and read as recorded."""
    quote = read_quote(entry)
    text = (VECTORS / entry["collateral"]).read_text()
    at = datetime.fromisoformat(entry["at"])

    verdicts = [
        verify_quote(
            quote, Collateral.from_json(text), anchors=Anchors.intel(), at=at, allow_debug=allow_debug
        )
        for allow_debug in (False, True)
    ]

    for recorded, verdict in zip(entry["verdict_prototype"], verdicts, strict=False):
        word, _, rest = recorded.partition(":")[0].partition(" ")
        assert verdict.code.value == word, verdict.detail
        if word == "OK":
            assert verdict.status == rest.split()[0]
            assert verdict.trust_domain == "intel"

    verdict, fields = verdicts[1], entry["fields"]
    report = verdict.report
    assert report is not None
    assert report.unique_id.hex() == fields["mr_enclave"]
    assert report.signer_id.hex() == fields["mr_signer"]
    assert report.attributes.hex() == fields["attributes"]
    assert report.report_data.hex() == fields["report_data"]
    assert (report.product_id, report.security_version) == (fields["isv_prod_id"], fields["isv_svn"])
    if verdict.platform is not None:
        assert verdict.platform.fmspc.hex() == fields["fmspc"]


@pytest.mark.parametrize("entry", sgx_entries(), ids=lambda entry: entry["file"])
def test_second_opinion_on_real_quotes(entry: dict[str, Any]) -> None:
    """dcap-qvl accepts the same real quotes, but for the listed divergences."""
    quote, at = read_quote(entry), datetime.fromisoformat(entry["at"])
    raw = quote[16:] if entry["format"] == "oe-report" else quote
    text = (VECTORS / entry["collateral"]).read_text()
    ours = verify_quote(
        quote, Collateral.from_json(text), anchors=Anchors.intel(), at=at, allow_debug=True
    ).accepted
    root = (VECTORS / "dcap-qvl" / "TrustedRootCA.der").read_bytes()

    theirs = second_opinion(raw, text, int(at.timestamp()), root)

    if entry["file"] in DIVERGENCES:
        assert (ours, theirs) == (True, False)
    else:
        assert ours == theirs


def second_opinion(quote: bytes, text: str, now: int, root: bytes) -> bool:
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(text)
        dcap_qvl.verify_with_root_ca(quote, collateral, root, now)
    except ValueError:
        return False
    return True
