"""The verifier of SEV-SNP reports: evidence, endorsements, anchors, a time and a policy in; one verdict out.

The order is that of attestation.md 2.1, as far as it applies; it stops at the first check that fails:
1 limits; 2 unwrap; 3 strict parse; 4 chain to a pinned root; 5 names; 6 constraints and validity;
7 revocation; 8 the key's extensions and its product line; 9 the key's firmware versions are the reported
ones; 10 the key's chip is the reported one; 11 the signature; 12 the policy. Reference values and report data
are ``appraisal``. Pure: no network, no clock.

AMD publishes no list of levels as Intel does: the status stays empty, and how current a platform must be is
the policy's to say, in minimum versions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from marbleops.attestation import der
from marbleops.attestation.checks import Ledger, NoMemo, RejectedError, remembered
from marbleops.attestation.snp import chain as chains
from marbleops.attestation.snp import report as reports
from marbleops.attestation.snp.certificate import ec_key
from marbleops.attestation.snp.extensions import describe_key
from marbleops.attestation.snp.hcl import unwrap_hcl
from marbleops.attestation.snp.policy import DEFAULT, SnpPolicy, judge
from marbleops.attestation.verdict import Code, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Memo
    from marbleops.attestation.snp.chain import Chain
    from marbleops.attestation.snp.endorsements import SnpEndorsements
    from marbleops.attestation.snp.extensions import KeyDescription
    from marbleops.attestation.snp.report import ProductLine, SignedReport, SnpReport

_NO_MEMO = NoMemo()


@dataclass(slots=True)
class _Run:
    """One verification under way: its inputs, its ledger, and what is known so far."""

    endorsements: SnpEndorsements
    anchors: Anchors
    at: datetime
    policy: SnpPolicy
    memo: Memo
    ledger: Ledger
    report: SnpReport | None = None
    claims: bytes | None = None
    not_checked: list[str] = field(default_factory=list)


def recognises(evidence: bytes) -> bool:
    """Say whether ``evidence`` is for this verifier: an SNP report, or an Azure report around one."""
    return reports.is_snp(evidence) or reports.is_hcl(evidence)


def verify_snp(
    evidence: bytes,
    endorsements: SnpEndorsements,
    *,
    anchors: Anchors,
    at: datetime,
    policy: SnpPolicy = DEFAULT,
    memo: Memo = _NO_MEMO,
) -> Verdict:
    """Verify ``evidence`` as of the time ``at`` and say everything that was checked.

    Whatever the bytes are, the answer is a verdict. Raises ``ValueError`` only for a time without a zone.
    """
    if at.tzinfo is None:
        raise ValueError("the time of a verification needs a time zone")
    run = _Run(endorsements, anchors, at, policy, memo, Ledger())
    code, detail = Code.OK, "the report verifies"
    try:
        _verify(run, evidence)
    except RejectedError as error:
        code, detail = error.code, error.detail
        run.ledger.close(error)
    return Verdict(
        code=code,
        status=None,
        advisories=(),
        report=run.report,
        checks=tuple(run.ledger.checks),
        trust_domain=anchors.trust_domain,
        detail=detail,
        custom_claims=run.claims,
        not_checked=tuple(run.not_checked),
    )


def _verify(run: _Run, evidence: bytes) -> None:
    # 1 limits; 2 unwrap; 3 strict parse
    signed = _parse(run, evidence)
    run.report = signed.report
    # 4 chain to a pinned root; 5 names; 6 constraints and validity
    chain = chains.find_chain(run.ledger, run.endorsements, signed.report, run.anchors)
    line = _check_chain(run, chain)
    # 7 revocation
    _check_revocation(run, chain)
    # 8 the key's extensions and product line
    key = _describe(run, chain)
    _check_line(run.ledger, signed.report, key, line)
    # 9 firmware versions; 10 chip
    _check_platform(run.ledger, signed.report, key)
    # 11 signature
    good = _signature_is_good(signed, chain)
    run.ledger.require(
        "Report signature",
        Code.QUOTE_SIGNATURE,
        ok=good,
        expected=f"by the {chain.kind}",
        found="good" if good else "bad",
    )
    # 12 policy
    for rule in judge(signed.report, run.policy):
        run.ledger.require(rule.name, rule.code, ok=rule.ok, expected=rule.expected, found=rule.found)


def _parse(run: _Run, evidence: bytes) -> SignedReport:
    expected = "an SEV-SNP report, version 2 to 5"
    try:
        if run.policy.accept_hcl and reports.is_hcl(evidence):
            wrapped = unwrap_hcl(evidence)
            signed = reports.parse_report(wrapped.report)
            wrapped.check_claims(signed.report.report_data)
            run.claims = wrapped.claims
            run.not_checked.append("what was booted: a virtual TPM measured that, and its quote is needed")
        else:
            signed = reports.parse_report(evidence)
    except RejectedError as error:
        run.ledger.fail("Evidence", error, expected=expected)
        raise
    wrapping = "" if run.claims is None else "an HCL report around "
    found = f"{wrapping}SNP report v{signed.report.version} in {len(evidence)} bytes"
    run.ledger.require("Evidence", Code.QUOTE_VERSION, ok=True, expected=expected, found=found)
    return signed


def _check_chain(run: _Run, chain: Chain) -> ProductLine:
    pins = sorted(run.anchors.spki_sha256)
    key = _key("chain", chain.kind.encode(), *(one.encoding for one in chain.members()), *pins)
    line = remembered(
        run.memo, run.ledger, key, lambda ledger: chains.check_chain(ledger, chain, run.anchors)
    )
    chains.check_validity(run.ledger, chain, at=run.at)
    return line


def _check_revocation(run: _Run, chain: Chain) -> None:
    lists = chains.lists_of(chain, run.endorsements)
    ok = bool(lists) or not run.policy.require_crl
    expected = f"a list of {chain.root.common_name}"
    if not run.policy.require_crl:
        expected += ", or none: the policy does not require one"
    found = f"{len(lists)} of them" if lists else "no revocation list"
    run.ledger.require(chains.CRL_LABEL, Code.CRL_MISSING, ok=ok, expected=expected, found=found)
    for crl in lists:
        key = _key("crl", crl.encoding, chain.root.public_key)
        remembered(run.memo, run.ledger, key, partial(chains.check_list, crl=crl, root=chain.root))
        chains.check_list_validity(run.ledger, crl, at=run.at)
        chains.check_not_revoked(run.ledger, crl, chain)
    if not lists:
        run.not_checked.append("revocation: there is no revocation list")


def _describe(run: _Run, chain: Chain) -> KeyDescription:
    try:
        return describe_key(chain.leaf, chain.kind)
    except der.DerError as error:
        rejected = RejectedError(Code.SNP_CERT_EXTENSION, str(error))
        run.ledger.fail(f"{chain.kind} extensions", rejected, expected="the extensions of such a key")
        raise rejected from error


def _check_line(ledger: Ledger, report: SnpReport, key: KeyDescription, line: ProductLine) -> None:
    ledger.require(
        "Product of the key", Code.SNP_PRODUCT, ok=key.line is line, expected=line.value, found=key.line.value
    )
    if report.cpuid is not None:
        family, model, _ = report.cpuid
        named = reports.line_of_cpuid(family, model)
        found = f"{named.value if named else 'an unknown product'} (family 0x{family:x}, model 0x{model:x})"
        ledger.require(
            "Product of the processor", Code.SNP_PRODUCT, ok=named is line, expected=line.value, found=found
        )
    turin = line is reports.ProductLine.TURIN
    ledger.require(
        "TCB layout",
        Code.SNP_PRODUCT,
        ok=report.turin_layout == turin,
        expected=line.value,
        found="Turin's" if report.turin_layout else "Milan's and Genoa's",
    )


def _check_platform(ledger: Ledger, report: SnpReport, key: KeyDescription) -> None:
    ledger.require(
        "TCB of the key",
        Code.SNP_TCB_MISMATCH,
        ok=key.tcb == report.reported_tcb,
        expected=str(report.reported_tcb),
        found=str(key.tcb),
    )
    if key.hardware_id is None:
        return
    # A masked chip key hides the chip; the certificate, which names it, was still needed for the signature.
    wanted = bytes(64) if report.chip_key_masked else key.hardware_id.ljust(64, b"\0")
    ledger.equal("Chip of the key", Code.SNP_CHIP_ID, expected=wanted, found=report.chip_id)


def _signature_is_good(signed: SignedReport, chain: Chain) -> bool:
    try:
        signature = encode_dss_signature(signed.r, signed.s)
        ec_key(chain.leaf).verify(signature, signed.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _key(kind: str, *parts: bytes) -> tuple[str, bytes]:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"snp {kind}", digest.digest()
