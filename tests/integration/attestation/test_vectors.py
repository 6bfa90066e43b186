"""Real quotes and published negative cases, which lie beside the project and are not part of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dcap_qvl
import pytest

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation import tcb
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.policy import VerificationPolicy
from marbleops.attestation.verdict import Code, Report, TdReport, Tee

pytestmark = pytest.mark.integration

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation"
NEGATIVE = VECTORS / "softtee-negative"
CASES = sorted(path.parent.name for path in NEGATIVE.glob("*/expected.json"))
# dcap-qvl 0.7.0 on real quotes (index.json): what it cannot allow, or does not know.
DIVERGENCES = {
    "automata/solana/quote_sgx.bin": "debug cannot be allowed",
    "trustee/occlum_quote.dat": "debug cannot be allowed",
    "trustee/tdx_quote_4.dat": "debug cannot be allowed",
    "openenclave/oe_sgx_quote.bin": "debug cannot be allowed, and TCB info is version 2",
    "automata/evm/quotes/alibaba_quote_5.dat": "a service domain cannot be allowed",
    "openenclave/tdx_quote_v5.bin": "a service domain and migration cannot be allowed",
}
# The cases of attestation.md 2.8 that are published by name only, and the scenario that makes each anew.
BY_NAME_ONLY = {
    "attestation_key_swapped": "attestation-key-swapped",
    "auth_data_length_huge": "auth-length-huge",
    "auth_data_length_short": "auth-length-short",
    "cert_data_type_1": "cert-data-type-1",
    "converge_ConfigurationAndSWHardeningNeeded_qe_out_of_date": "converge-ConfigurationAndSWHardeningNeeded",
    "converge_ConfigurationNeeded_qe_out_of_date": "converge-ConfigurationNeeded",
    "converge_OutOfDate_qe_out_of_date": "converge-OutOfDate",
    "converge_SWHardeningNeeded_qe_out_of_date": "converge-SWHardeningNeeded",
    "converge_UpToDate_qe_out_of_date": "converge-UpToDate",
    "fake_root_same_name": "root-same-name",
    "mrenclave_tampered": "unique-id-tampered",
    "pceid_mismatch": "tcb-pceid",
    "pcesvn_selects_older_level": "pcesvn-older-level",
    "pcesvn_too_low": "pcesvn-too-low",
    "pck_ca_revoked": "pck-ca-revoked",
    "pck_cert_expired": "pck-expired",
    "pck_cert_not_yet_valid": "pck-not-yet-valid",
    "pck_crl_bad_signature": "pck-crl-signature",
    "pck_crl_expired": "pck-crl-expired",
    "pck_crl_future": "pck-crl-future",
    "pck_crl_wrong_issuer": "pck-crl-wrong-issuer",
    "pck_revoked": "pck-revoked",
    "pck_without_sgx_extension": "pck-without-extension",
    "qe_identity_signed_by_pck": "qe-signed-by-pck",
    "qe_isvsvn_too_low": "qe-svn-too-low",
    "qe_report_data_high_half": "qe-report-data-tail",
    "qe_report_signed_by_tcb_signing": "pck-chain-of-signer",
    "quote_trailing_junk": "trailing-junk",
    "quote_trailing_zeros": "trailing-zeros",
    "report_data_tampered": "report-data-tampered",
    "root_crl_expired": "root-crl-expired",
    "sgx_debug_allowed": "debug-allowed",
    "sgx_not_init": "not-initialised",
    "sgx_quote_sgx_tcb_tdx_collateral": "sgx-td-tcb",
    "status_ConfigurationAndSWHardeningNeeded": "status-ConfigurationAndSWHardeningNeeded",
    "status_ConfigurationNeeded": "status-ConfigurationNeeded",
    "status_OutOfDate": "status-OutOfDate",
    "status_OutOfDateConfigurationNeeded": "status-OutOfDateConfigurationNeeded",
    "status_SWHardeningNeeded": "status-SWHardeningNeeded",
    "tcb_info_reserialised": "tcb-reserialised",
    "tcb_info_signed_by_pck": "tcb-signed-by-pck",
    "tcb_signing_revoked": "tcb-signing-revoked",
    "tdx_module_mrsigner": "td-module-signer",
    "tdx_module_svn_too_low": "td-module-svn",
    "tdx_module_unknown": "td-module-unknown",
    "tdx_module_v3_low_index0": "td-module-v3",
    "tdx_outer_cert_type": "td-outer-type",
    "tdx_quote_sgx_collateral": "td-sgx-tcb",
    "tdx_relaunch_advised": "td-relaunch",
    "tdx_seam_attributes": "td-seam-attributes",
    "tdx_v5_bad_body_type": "td-body-type-9",
    "tdx_v5_td10": "td-v5-td10",
    "tdx_v5_td15": "td-v5-td15",
    "unknown_qe_vendor": "qe-vendor",
    "unknown_status_string": "status-unknown",
    "unknown_tee_type": "tee-type",
    "untrusted_root_pck_only": "root-untrusted",
    "untrusted_root_quote": "root-untrusted",
}
absent = pytest.mark.skipif(not CASES, reason="../shared/vectors/attestation is not here")


def entries() -> list[dict[str, Any]]:
    if not VECTORS.is_dir():
        return []
    index = json.loads((VECTORS / "index.json").read_text())
    listed = [entry for group in index.values() for entry in group if isinstance(entry, dict)]
    return [entry for entry in listed if entry.get("body") in ("sgx", "td10", "td15")]


def label(entry: dict[str, Any]) -> str:
    return f"{entry['file']}@{entry['at'][:10]}"


def read_quote(entry: dict[str, Any]) -> bytes:
    raw = (VECTORS / entry["file"]).read_bytes()
    return bytes.fromhex(raw.decode().strip().removeprefix("0x")) if entry["file"].endswith(".hex") else raw


@absent
def test_there_are_vectors() -> None:
    """All 112 published cases are run: with their bytes where there are some, the others made anew."""
    rows = published_codes()
    scenarios: tuple[smith.Scenario | tdsmith.TdScenario, ...] = (*smith.scenarios(), *tdsmith.scenarios())
    made = {scenario.name: scenario for scenario in scenarios}

    assert set(rows) == {*CASES, *BY_NAME_ONLY}
    assert (len(CASES), len(BY_NAME_ONLY), len(entries())) == (54, 58, 22)
    for name, scenario in BY_NAME_ONLY.items():
        code, _, status = rows[name].partition(" ")
        assert made[scenario].code == code, name
        assert not status or made[scenario].status == status.split(" ")[0], name


def published_codes() -> dict[str, str]:
    """Read the table of attestation.md 2.8: name and expectation of each case."""
    text = (VECTORS.parents[1] / "reference" / "attestation.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.endswith((" | ours |", " | dcap-qvl |"))]
    return {row[0].removeprefix("| "): row[1] for row in rows}


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

    assert verdict.code.value == (expected["reason_code"] or "OK"), verdict.detail
    assert verdict.accepted == expected["should_succeed"]
    if verdict.accepted:
        assert verdict.status == expected["status"]
    assert second_opinion(quote, text, expected["now"], root) == verdict.accepted


@pytest.mark.parametrize("entry", entries(), ids=label)
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
        words = dict(word.split("=") for word in recorded.split() if "=" in word)
        assert verdict.code.value == recorded.split()[0].removesuffix(":"), verdict.detail
        if verdict.accepted:
            assert verdict.status == recorded.split()[1]
            assert verdict.trust_domain == "intel"
            assert len(verdict.advisories) == int(words.get("adv", len(verdict.advisories)))
            assert verdict.platform is not None
            assert (verdict.platform.tcb_date or "")[:10] == words["date"]

    verdict, fields = verdicts[1], entry["fields"]
    if isinstance(verdict.report, TdReport):
        check_td(verdict.report, fields)
    else:
        assert isinstance(verdict.report, Report)
        check_sgx(verdict.report, fields)
    if verdict.platform is not None:
        assert verdict.platform.fmspc.hex() == fields["fmspc"]
        assert verdict.platform.ppid.hex() == fields.get("ppid", verdict.platform.ppid.hex())


def check_sgx(report: Report, fields: dict[str, Any]) -> None:
    assert report.unique_id.hex() == fields["mr_enclave"]
    assert report.signer_id.hex() == fields["mr_signer"]
    assert report.attributes.hex() == fields["attributes"]
    assert report.report_data.hex() == fields["report_data"]
    assert (report.product_id, report.security_version) == (fields["isv_prod_id"], fields["isv_svn"])


def check_td(report: TdReport, fields: dict[str, Any]) -> None:
    found = {
        "mr_td": report.mr_td,
        "mr_seam": report.mr_seam,
        "td_attributes": report.td_attributes,
        "tee_tcb_svn": report.tee_tcb_svn,
        "xfam": report.xfam,
        "rtmr0": report.rtmrs[0],
        "report_data": report.report_data,
    }
    assert {name: value.hex() for name, value in found.items()} == {name: fields[name] for name in found}


@pytest.mark.parametrize("entry", entries(), ids=label)
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


def find(name: str) -> dict[str, Any]:
    return next(entry for entry in entries() if entry["file"] == name)


def judge(name: str, policy: VerificationPolicy, *, wrap: bytes = b"") -> tuple[Code, bytes | None]:
    entry = find(name)
    collateral = Collateral.from_json((VECTORS / entry["collateral"]).read_text())
    evidence, at = wrap + read_quote(entry), datetime.fromisoformat(entry["at"])
    verdict = verify_quote(evidence, collateral, anchors=Anchors.intel(), at=at, policy=policy)
    return verdict.code, verdict.custom_claims


@absent
def test_policy_on_real_domains() -> None:
    """Azure's domains verify where they may lack SEPT_VE_DISABLE; a strict policy refuses Alibaba's."""
    lenient = VerificationPolicy(td_sept_ve_disable_required=False)
    strict = VerificationPolicy(td_migratable_allowed=False, td_service_td_allowed=False)

    assert judge("trustee/az-tdx-vtpm/td-quote.bin", lenient)[0] is Code.OK
    assert judge("openenclave/tdx_quote.bin", lenient)[0] is Code.OK
    assert judge("automata/evm/quotes/alibaba_quote_5.dat", strict)[0] is Code.TD_SERVICE_TD
    assert judge("openenclave/tdx_quote_v5.bin", strict)[0] is Code.TD_MIGRATABLE


@absent
def test_real_evidence_without_custom_claims() -> None:
    """Open Enclave's evidence of 2022 was made without claims: it verifies, and vouches for nothing."""
    name = "openenclave/oe_sgx_quote.bin"
    header = (3).to_bytes(4, "little") + bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
    header += len(read_quote(find(name))).to_bytes(8, "little")

    assert judge(name, VerificationPolicy(allow_debug=True), wrap=header) == (Code.OK, b"")


DOCUMENTS = {
    "data_v2/qe_identity_ok.json": Tee.SGX,
    "data_v2/qe_identity_with_advisoryids.json": Tee.SGX,
    "data_v2/qe_identity_missing_signature.json": Tee.SGX,  # the signature is not part of the document
    "data_v2/tcbInfo_with_pceid.json": Tee.SGX,
    "data_v3/tcbinfo_sgx.json": Tee.SGX,
    "data_v3/tcbinfo_tdx.json": Tee.TDX,
}


@absent
def test_documents_of_open_enclave() -> None:
    """Of Open Enclave's parser tests only whole documents, for the right TEE, are read."""
    folder = VECTORS / "openenclave" / "json-negative"
    read = {
        str(path.relative_to(folder)): tee
        for path in sorted(folder.rglob("*.json"))
        for tee in (Tee.SGX, Tee.TDX)
        if parses(path, tee)
    }

    assert read == DOCUMENTS


def parses(path: Path, tee: Tee) -> bool:
    try:
        answer = json.loads(path.read_text())
    except ValueError:
        return False
    try:
        if "tcbInfo" in answer:
            tcb.parse_tcb_info(json.dumps(answer["tcbInfo"]), tee)
        else:
            tcb.parse_qe_identity(json.dumps(answer.get("enclaveIdentity", answer.get("qeIdentity"))), tee)
    except RejectedError:
        return False
    return True


def second_opinion(quote: bytes, text: str, now: int, root: bytes) -> bool:
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(text)
        dcap_qvl.verify_with_root_ca(quote, collateral, root, now)
    except ValueError:
        return False
    return True
