"""Real SEV-SNP reports, from the vectors beside the project: the verdicts are those of their READMEs."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.report import SnpReport, SnpTcb
from marbleops.attestation.snp.verify import verify_snp
from marbleops.attestation.verdict import Code

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no test vectors in {VECTORS}"),
]

GOOGLE, TRUSTEE, AZURE = "go-sev-guest", "trustee/snp", "trustee/az-snp-vtpm"
MILAN = f"{TRUSTEE}/milan_ask_ark_asvk.pem"
# AMD's lists are not among the vectors, so these verifications say that none was looked up.
NO_CRL = SnpPolicy(require_crl=False)


@dataclass(frozen=True)
class Case:
    """A report, the certificates given, the day, and what must come out."""

    report: str
    certificates: tuple[str, ...]
    code: Code
    at: str = "2025-06-01"
    offset: int = 0
    policy: SnpPolicy = NO_CRL


VCEK = (f"{TRUSTEE}/test-vcek.der", MILAN)
VLEK = (f"{TRUSTEE}/test-vlek.der", MILAN)
DEBUG = (f"{GOOGLE}/vcek.testcer", f"{GOOGLE}/milan.testcer")
CASES = {
    "v2, VCEK": Case(f"{TRUSTEE}/test-report.bin", VCEK, Code.OK),
    "v2, VCEK, before its time": Case(f"{TRUSTEE}/test-report.bin", VCEK, Code.CERT_EXPIRED, at="2023-01-24"),
    "v2, VCEK, after its time": Case(f"{TRUSTEE}/test-report.bin", VCEK, Code.CERT_EXPIRED, at="2030-01-25"),
    "tampered VCEK, legacy form": Case(
        f"{TRUSTEE}/test-report.bin",
        (f"{TRUSTEE}/test-vcek-invalid-legacy.der", MILAN),
        Code.CERT_SIGNATURE,
    ),
    "tampered VCEK, new form": Case(
        f"{TRUSTEE}/test-report.bin", (f"{TRUSTEE}/test-vcek-invalid-new.der", MILAN), Code.CERT_SIGNATURE
    ),
    "v3, VLEK": Case(f"{TRUSTEE}/test-vlek-report.bin", VLEK, Code.OK),
    "v3, VLEK, after its time": Case(
        f"{TRUSTEE}/test-vlek-report.bin", VLEK, Code.CERT_EXPIRED, at="2025-12-11"
    ),
    "v3, VLEK, but a VCEK given": Case(f"{TRUSTEE}/test-vlek-report.bin", VCEK, Code.CHAIN_LENGTH),
    "debug": Case(f"{GOOGLE}/attestation.bin", DEBUG, Code.DEBUG_ENCLAVE),
    "debug, allowed": Case(
        f"{GOOGLE}/attestation.bin", DEBUG, Code.OK, policy=SnpPolicy(require_crl=False, allow_debug=True)
    ),
    "another chip's VCEK": Case(
        f"{TRUSTEE}/test-report.bin", (f"{GOOGLE}/vcek.testcer", MILAN), Code.SNP_TCB_MISMATCH
    ),
    "another chip's VCEK of the same firmware": Case(
        f"{TRUSTEE}/test-report.bin", (f"{AZURE}/vcek.pem",), Code.SNP_CHIP_ID
    ),
    "another product line's authorities": Case(
        f"{TRUSTEE}/test-report.bin",
        (f"{TRUSTEE}/test-vcek.der", f"{TRUSTEE}/genoa_ask_ark_asvk.pem"),
        Code.CHAIN_LENGTH,
    ),
    "Azure, the report inside": Case(f"{AZURE}/hcl-report.bin", (f"{AZURE}/vcek.pem",), Code.OK, offset=32),
    "Azure, as it comes": Case(f"{AZURE}/hcl-report.bin", (f"{AZURE}/vcek.pem",), Code.HCL_NEEDS_TPM_QUOTE),
    "Azure, taken for what it is": Case(
        f"{AZURE}/hcl-report.bin",
        (f"{AZURE}/vcek.pem",),
        Code.OK,
        policy=SnpPolicy(require_crl=False, accept_hcl=True),
    ),
    "Azure's TDX is not SEV-SNP": Case(
        "trustee/az-tdx-vtpm/hcl-report.bin",
        (f"{AZURE}/vcek.pem",),
        Code.HCL_NEEDS_TPM_QUOTE,
        policy=SnpPolicy(require_crl=False, accept_hcl=True),
    ),
    "no revocation list": Case(f"{TRUSTEE}/test-report.bin", VCEK, Code.CRL_MISSING, policy=SnpPolicy()),
}


def files(names: tuple[str, ...]) -> SnpEndorsements:
    return SnpEndorsements.from_files({name: (VECTORS / name).read_bytes() for name in names})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_verdict_is_the_expected_one(case: Case) -> None:
    """Under AMD's roots, at the time that the vectors name."""
    evidence = (VECTORS / case.report).read_bytes()
    if case.offset:
        evidence = evidence[case.offset : case.offset + 0x4A0]
    at = datetime.fromisoformat(case.at).replace(tzinfo=UTC)
    verdict = verify_snp(evidence, files(case.certificates), anchors=Anchors.amd(), at=at, policy=case.policy)

    assert verdict.code is case.code, verdict.detail
    assert verdict.trust_domain == "amd"


def test_the_fields_are_the_expected_ones() -> None:
    """As the READMEs of the vectors list them."""
    at = datetime(2025, 6, 1, tzinfo=UTC)
    found = []
    for report, certificates in (
        (f"{TRUSTEE}/test-report.bin", VCEK),
        (f"{TRUSTEE}/test-vlek-report.bin", VLEK),
    ):
        evidence = (VECTORS / report).read_bytes()
        verdict = verify_snp(evidence, files(certificates), anchors=Anchors.amd(), at=at, policy=NO_CRL)
        assert isinstance(verdict.report, SnpReport)
        found.append(verdict.report)
    vcek, vlek = found

    assert vcek.measurement.hex().startswith("a1f393041324")
    assert vcek.report_data.hex().startswith("ec6c52d7533c")
    assert vcek.reported_tcb == SnpTcb(bootloader=3, tee=0, snp=8, microcode=115)
    assert (vlek.version, vlek.vmpl, vlek.chip_id) == (3, 1, bytes(64))
    assert vlek.reported_tcb == SnpTcb(bootloader=4, tee=0, snp=24, microcode=217)


@pytest.mark.parametrize("name", ["evidence-genoa.json", "evidence-v1.json"])
def test_the_reports_of_azure_evidence_verify(name: str) -> None:
    """A Genoa and a Milan, both of version 3; the certificates of several product lines are given."""
    document = json.loads((VECTORS / AZURE / name).read_text())
    if "report" in document:
        hcl, leaf = bytes(document["report"]), document["vcek"].encode()
    else:
        hcl, leaf = (base64.urlsafe_b64decode(document[key] + "==") for key in ("hcl_report", "vcek"))
    given = {"leaf": leaf}
    for line in ("genoa", "milan", "turin"):
        given[line] = (VECTORS / TRUSTEE / f"{line}_ask_ark_asvk.pem").read_bytes()
    verdict = verify_snp(
        hcl,
        SnpEndorsements.from_files(given),
        anchors=Anchors.amd(),
        at=datetime(2025, 6, 1, tzinfo=UTC),
        policy=SnpPolicy(require_crl=False, accept_hcl=True),
    )

    assert verdict.code is Code.OK, verdict.detail
    assert verdict.custom_claims is not None
    assert "HCLAkPub" in verdict.custom_claims.decode()
    assert isinstance(verdict.report, SnpReport)
    assert verdict.report.version == 3


def test_a_whole_folder_may_be_given() -> None:
    """The certificates that fit are found among those of other chips, kinds and product lines."""
    at = datetime(2025, 6, 1, tzinfo=UTC)
    policy = SnpPolicy(require_crl=False, accept_hcl=True, allow_debug=True)

    for report in (
        f"{TRUSTEE}/test-report.bin",
        f"{TRUSTEE}/test-vlek-report.bin",
        f"{AZURE}/hcl-report.bin",
        f"{GOOGLE}/attestation.bin",
    ):
        folder = (VECTORS / report).parent
        given = SnpEndorsements.from_files({path.name: path.read_bytes() for path in folder.iterdir()})
        evidence = (VECTORS / report).read_bytes()
        assert verify_snp(evidence, given, anchors=Anchors.amd(), at=at, policy=policy).code is Code.OK


def test_every_published_authority_is_read_and_pinned() -> None:
    """Milan, Genoa and Turin: the roots are ours, and all certificates parse."""
    folder = VECTORS / GOOGLE
    given = SnpEndorsements.from_files({path.name: path.read_bytes() for path in folder.iterdir()})
    names = {one.common_name for one in given.certificates}

    assert {f"ARK-{line}" for line in ("Milan", "Genoa", "Turin")} < names
    assert {f"SEV-VLEK-{line}" for line in ("Milan", "Genoa", "Turin")} < names
