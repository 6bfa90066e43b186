"""The verifier of SGX ECDSA quotes: evidence, collateral, anchors and a time in; one verdict out.

It does the twenty steps of attestation.md 2.1 in that order, each with its number below, and stops at the
first that fails. Steps 16 and 18 are TDX's and not here yet (UNSUPPORTED_TEE); 21 and 22 are ``appraisal``.
Of step 20 this module decides Revoked and debug; accepted statuses and advisories are appraisal too. Pure: no
network, no clock.

Not used: ``pck_crl_issuer_chain``. The list must be signed by the CA of the quote's own PCK certificate, so
the chain says nothing that is not known already, and published collateral often carries another one there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from marbleops.attestation import der, pck, quote, tcb, x509chain
from marbleops.attestation.anchors import Anchors, spki_der
from marbleops.attestation.checks import Ledger, NoMemo, RejectedError, remembered
from marbleops.attestation.verdict import Code, PlatformTcb, Report, TcbStatus, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from marbleops.attestation.checks import Memo
    from marbleops.attestation.collateral import Collateral

__all__ = ["Anchors", "verify_quote", "verify_with_memo"]

_PCK_CRL = "PCK CRL"
_ROOT_CRL = "Root CRL"


def verify_quote(
    evidence: bytes, collateral: Collateral, *, anchors: Anchors, at: datetime, allow_debug: bool = False
) -> Verdict:
    """Verify ``evidence`` as of the time ``at`` and say everything that was checked.

    Whatever the bytes are, the answer is a verdict. Raises ``ValueError`` only for a time without a zone.
    With ``allow_debug`` a debug enclave verifies; whether it is wanted is the appraisal's question.
    """
    return verify_with_memo(
        evidence, collateral, anchors=anchors, at=at, allow_debug=allow_debug, memo=NoMemo()
    )


@dataclass(slots=True)
class _Run:
    """One verification under way: its inputs, its ledger, and what is known so far."""

    collateral: Collateral
    anchors: Anchors
    at: datetime
    allow_debug: bool
    memo: Memo
    ledger: Ledger
    report: Report | None = None
    status: TcbStatus | None = None
    advisories: tuple[str, ...] = ()
    platform: PlatformTcb | None = None


def verify_with_memo(
    evidence: bytes, collateral: Collateral, *, anchors: Anchors, at: datetime, allow_debug: bool, memo: Memo
) -> Verdict:
    """Do what ``verify_quote`` does, asking ``memo`` for the parts that depend on content alone."""
    if at.tzinfo is None:
        raise ValueError("the time of a verification needs a time zone")
    run = _Run(collateral, anchors, at, allow_debug, memo, Ledger())
    code, detail = Code.OK, "the quote verifies"
    try:
        _verify(run, evidence)
    except RejectedError as error:
        code, detail = error.code, error.detail
        run.ledger.close(error)
    return Verdict(
        code=code,
        status=run.status,
        advisories=run.advisories,
        report=run.report,
        checks=tuple(run.ledger.checks),
        trust_domain=anchors.trust_domain,
        detail=detail,
        platform=run.platform,
    )


def _verify(run: _Run, evidence: bytes) -> None:
    # 1 size and version limits; 2 unwrap; 3 strict parse
    parsed = _parse(run, evidence)
    run.report = parsed.report
    # 4 chains to a pinned root; 5 names; 6 constraints and validity, for the PCK and both signers of
    # collateral
    pck_chain = _chain(run, _pck_pem(run, parsed), x509chain.PCK)
    tcb_chain = _chain(run, _utf8(run.collateral.tcb_info_issuer_chain), x509chain.TCB_INFO_SIGNING)
    qe_chain = _chain(run, _utf8(run.collateral.qe_identity_issuer_chain), x509chain.QE_IDENTITY_SIGNING)
    # 7 revocation
    _revocation(run, pck_chain, tcb_chain, qe_chain)
    # 8 TCB info and QE identity
    tcb_info = _tcb_info(run, tcb_chain[0])
    qe_identity = _qe_identity(run, qe_chain[0])
    # 9 the PCK's extension belongs to this TCB info
    extension = _extension(run, pck_chain[0], tcb_info)
    # 10 QE report signature; 11 QE report data; 13 (first half) the key is on its curve
    attestation_key = _qe_report(run, parsed, pck_chain[0])
    # 12 QE identity
    _qe_is_intels(run.ledger, parsed.qe_report, qe_identity)
    # 13 quote signature
    good = _signed_by(attestation_key, parsed.signature, parsed.signed)
    run.ledger.require(
        "Quote signature",
        Code.QUOTE_SIGNATURE,
        ok=good,
        expected="by the attestation key",
        found=_good(ok=good),
    )
    # 14 TCB level; 15 QE level; 17 convergence; 20 (part) Revoked is never accepted
    _levels(run, extension, tcb_info, parsed.qe_report, qe_identity)
    # 19 attributes; 20 (part) debug
    _attributes(run, parsed.report)


def _parse(run: _Run, evidence: bytes) -> quote.Quote:
    expected = "an SGX quote v3, raw or in an Open Enclave header"
    try:
        parsed = quote.parse_evidence(evidence)
    except RejectedError as error:
        run.ledger.fail("Evidence", error, expected=expected)
        raise
    run.ledger.require(
        "Evidence", Code.QUOTE_VERSION, ok=True, expected=expected, found=f"{len(evidence)} bytes"
    )
    return parsed


def _pck_pem(run: _Run, parsed: quote.Quote) -> bytes:
    # 1.1: types 2 and 3 identify the platform without certifying it; the collateral must bring the chain
    # then.
    kind, chain = parsed.certification_type, run.collateral.pck_certificate_chain
    embedded = kind == quote.CERT_DATA_PEM_CHAIN
    ok = embedded or (kind in quote.CERT_DATA_ENCRYPTED_PPID and chain is not None)
    expected = "5, or 2 or 3 with a PCK chain in the collateral"
    name = "Certification data type"
    run.ledger.require(name, Code.QUOTE_CERT_DATA_TYPE, ok=ok, expected=expected, found=str(kind))
    return parsed.certification_data.rstrip(b"\0") if embedded else _utf8(chain or "")


def _chain(run: _Run, pem: bytes, profile: x509chain.LeafProfile) -> x509chain.Chain:
    def work(ledger: Ledger) -> x509chain.Chain:
        try:
            chain = x509chain.parse_chain(pem, profile=profile)
        except RejectedError as error:
            ledger.fail(profile.label, error, expected="PEM certificates, leaf first")
            raise
        x509chain.check_chain(ledger, chain, profile=profile, anchors=run.anchors)
        return chain

    key = _key(profile.label, pem, *sorted(run.anchors.spki_sha256))
    chain = remembered(run.memo, run.ledger, key, work)
    x509chain.check_validity(run.ledger, chain, profile=profile, at=run.at)
    return chain


def _revocation(
    run: _Run, pck_chain: x509chain.Chain, tcb_chain: x509chain.Chain, qe_chain: x509chain.Chain
) -> None:
    leaf, ca, root = pck_chain
    # One authority vouches for all of it: another trusted root's list says nothing about this one's signers.
    for chain, label in ((tcb_chain, "TCB info root"), (qe_chain, "QE identity root")):
        same = chain[-1] == root or spki_der(chain[-1]) == spki_der(root)
        found = "the same" if same else "another trusted root"
        run.ledger.require(label, Code.CHAIN_UNTRUSTED_ROOT, ok=same, expected="the PCK's root", found=found)
    root_crl = _crl(run, run.collateral.root_ca_crl, _ROOT_CRL, root)
    pck_crl = _crl(run, run.collateral.pck_crl, _PCK_CRL, ca)
    x509chain.check_not_revoked(run.ledger, root_crl, ca, label="PCK CA")
    x509chain.check_not_revoked(run.ledger, root_crl, tcb_chain[0], label="TCB info signer")
    x509chain.check_not_revoked(run.ledger, root_crl, qe_chain[0], label="QE identity signer")
    x509chain.check_not_revoked(run.ledger, pck_crl, leaf, label="PCK certificate")


def _crl(run: _Run, raw: bytes, label: str, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    def work(ledger: Ledger) -> x509.CertificateRevocationList:
        try:
            crl = x509chain.parse_crl(raw, label=label)
        except RejectedError as error:
            ledger.fail(label, error, expected="a CRL in DER")
            raise
        x509chain.check_crl(ledger, crl, label=label, issuer=issuer)
        return crl

    key = _key(label, raw, spki_der(issuer), issuer.subject.public_bytes())
    crl = remembered(run.memo, run.ledger, key, work)
    x509chain.check_crl_validity(run.ledger, crl, label=label, at=run.at)
    return crl


def _tcb_info(run: _Run, signer: x509.Certificate) -> tcb.TcbInfo:
    text, signature = run.collateral.tcb_info, run.collateral.tcb_info_signature

    def work(ledger: Ledger) -> tcb.TcbInfo:
        _signed_document(
            ledger, "TCB info", Code.TCB_INFO_SIGNATURE, signer=signer, signature=signature, text=text
        )
        try:
            return tcb.parse_tcb_info(text)
        except RejectedError as error:
            ledger.fail("TCB info", error, expected="TCB info for SGX, version 3")
            raise

    info = remembered(run.memo, run.ledger, _key("tcb", _utf8(text), signature, spki_der(signer)), work)
    codes = (Code.TCB_INFO_NOT_YET_VALID, Code.TCB_INFO_EXPIRED)
    _current(run, "TCB info", codes, info.issue_date, info.next_update)
    return info


def _qe_identity(run: _Run, signer: x509.Certificate) -> tcb.QeIdentity:
    text, signature = run.collateral.qe_identity, run.collateral.qe_identity_signature

    def work(ledger: Ledger) -> tcb.QeIdentity:
        _signed_document(
            ledger, "QE identity", Code.QE_IDENTITY_SIGNATURE, signer=signer, signature=signature, text=text
        )
        try:
            return tcb.parse_qe_identity(text)
        except RejectedError as error:
            ledger.fail("QE identity", error, expected="the identity of an SGX quoting enclave, version 2")
            raise

    identity = remembered(run.memo, run.ledger, _key("qe", _utf8(text), signature, spki_der(signer)), work)
    codes = (Code.QE_IDENTITY_NOT_YET_VALID, Code.QE_IDENTITY_EXPIRED)
    _current(run, "QE identity", codes, identity.issue_date, identity.next_update)
    return identity


def _signed_document(
    ledger: Ledger, name: str, code: Code, *, signer: x509.Certificate, signature: bytes, text: str
) -> None:
    # 2.7: the signature covers the exact bytes of the published value.
    good = _signed_by(x509chain.public_key(signer), signature, _utf8(text))
    ledger.require(
        f"{name} signature", code, ok=good, expected="by the TCB signing key", found=_good(ok=good)
    )


def _current(run: _Run, name: str, codes: tuple[Code, Code], issued: datetime, until: datetime) -> None:
    now = run.at.isoformat()
    begin, end = f"not before {issued.isoformat()}", f"not after {until.isoformat()}"
    run.ledger.require(f"{name} issue date", codes[0], ok=issued <= run.at, expected=begin, found=now)
    run.ledger.require(f"{name} next update", codes[1], ok=run.at <= until, expected=end, found=now)


def _extension(run: _Run, leaf: x509.Certificate, info: tcb.TcbInfo) -> pck.PckExtension:
    def work(ledger: Ledger) -> pck.PckExtension:
        values = [e.value.public_bytes() for e in leaf.extensions if e.oid.dotted_string == pck.EXTENSION_OID]
        expected = "exactly one SGX extension"
        name = "PCK extension"
        count = len(values)
        ledger.require(name, Code.PCK_EXTENSION, ok=count == 1, expected=expected, found=str(count))
        try:
            return pck.parse_pck_extension(values[0])
        except der.DerError as error:
            ledger.fail(name, RejectedError(Code.PCK_EXTENSION, str(error)), expected="Intel's members")
            raise

    key = _key("extension", leaf.fingerprint(hashes.SHA256()))
    extension = remembered(run.memo, run.ledger, key, work)
    run.ledger.equal("FMSPC", Code.TCB_INFO_FMSPC, expected=extension.fmspc, found=info.fmspc)
    run.ledger.equal("PCEID", Code.TCB_INFO_PCEID, expected=extension.pce_id, found=info.pce_id)
    return extension


def _qe_report(run: _Run, parsed: quote.Quote, leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    def work(ledger: Ledger) -> ec.EllipticCurvePublicKey:
        good = _signed_by(x509chain.public_key(leaf), parsed.qe_report_signature, parsed.qe_report_bytes)
        name = "QE report signature"
        ledger.require(
            name, Code.QE_REPORT_SIGNATURE, ok=good, expected="by the PCK key", found=_good(ok=good)
        )
        # All 64 bytes: the second half is zero (1.1, binding rule).
        bound = hashlib.sha256(parsed.attestation_key + parsed.qe_auth_data).digest() + bytes(32)
        found = parsed.qe_report.report_data
        ledger.equal("QE report data", Code.QE_REPORT_DATA, expected=bound, found=found)
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(
                ec.SECP256R1(), b"\x04" + parsed.attestation_key
            )
        except ValueError as error:
            failure = RejectedError(Code.QUOTE_ATTESTATION_KEY, str(error))
            ledger.fail("Attestation key", failure, expected="a point on P-256")
            raise

    key = _key(
        "qe-report",
        spki_der(leaf),
        parsed.qe_report_bytes,
        parsed.qe_report_signature,
        parsed.attestation_key,
        parsed.qe_auth_data,
    )
    return remembered(run.memo, run.ledger, key, work)


def _qe_is_intels(ledger: Ledger, report: Report, identity: tcb.QeIdentity) -> None:
    ledger.equal("QE MRSIGNER", Code.QE_MRSIGNER, expected=identity.mr_signer, found=report.signer_id)
    asks, has = identity.isv_prod_id, report.product_id
    ledger.require("QE ISVPRODID", Code.QE_ISVPRODID, ok=has == asks, expected=str(asks), found=str(has))
    mask = identity.misc_select_mask
    asks, has = identity.misc_select & mask, report.misc_select & mask
    ledger.require(
        "QE MISCSELECT", Code.QE_MISCSELECT, ok=has == asks, expected=f"{asks:08x}", found=f"{has:08x}"
    )
    # Before the attributes, whose mask covers the same bit: debug is the more telling finding.
    found = "debug" if report.debug else "not debug"
    ledger.require("QE debug", Code.QE_DEBUG, ok=not report.debug, expected="not debug", found=found)
    expected = _masked(identity.attributes, identity.attributes_mask)
    masked = _masked(report.attributes, identity.attributes_mask)
    ledger.equal("QE ATTRIBUTES", Code.QE_ATTRIBUTES, expected=expected, found=masked)


def _levels(
    run: _Run, extension: pck.PckExtension, info: tcb.TcbInfo, qe_report: Report, identity: tcb.QeIdentity
) -> None:
    level = tcb.match_platform(info.levels, extension.components, extension.pce_svn)
    if level is None:
        gaps = tcb.shortfalls(info.levels, extension.components, extension.pce_svn)
        failure = RejectedError(Code.TCB_NOT_SUPPORTED, f"below every published level: {gaps}")
        run.ledger.fail("TCB level", failure, expected="a published level")
        raise failure
    qe_level = tcb.match_qe(identity.levels, qe_report.security_version)
    if qe_level is None:
        failure = RejectedError(
            Code.QE_TCB_NOT_SUPPORTED, f"QE ISVSVN {qe_report.security_version} is below every level"
        )
        run.ledger.fail("QE level", failure, expected="a published level")
        raise failure
    run.platform = PlatformTcb(
        fmspc=extension.fmspc,
        pce_id=extension.pce_id,
        ppid=extension.ppid,
        components=extension.components,
        pce_svn=extension.pce_svn,
        tcb_date=level.date,
        tcb_evaluation_number=info.evaluation_number,
    )
    known = "a known status"
    try:
        platform_status, qe_status = tcb.status_of(level), tcb.status_of(qe_level)
    except RejectedError as error:
        run.ledger.fail("TCB status", error, expected=known)
        raise
    run.advisories = tuple(dict.fromkeys(level.advisories + qe_level.advisories))
    run.status = tcb.converge(platform_status, qe_status)
    found = f"{run.status} (platform {platform_status}, QE {qe_status})"
    ok = run.status is not TcbStatus.REVOKED
    run.ledger.require("TCB status", Code.TCB_REVOKED, ok=ok, expected="not Revoked", found=found)


def _attributes(run: _Run, report: Report) -> None:
    ready = bool(quote.flags(report.attributes) & quote.ATTRIBUTE_INIT)
    found = f"attributes {report.attributes.hex()}"
    run.ledger.require("Initialised", Code.SGX_NOT_INIT, ok=ready, expected="INIT", found=found)
    expected = "debug or not" if run.allow_debug else "not debug"
    ok = run.allow_debug or not report.debug
    found = "debug" if report.debug else "not debug"
    run.ledger.require("Debug", Code.DEBUG_ENCLAVE, ok=ok, expected=expected, found=found)


def _signed_by(key: ec.EllipticCurvePublicKey, raw: bytes, message: bytes) -> bool:
    # Raw r||s, big-endian (1.1); a signature of another length is simply not one.
    if len(raw) != 64:
        return False
    encoded = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        key.verify(encoded, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one & other for one, other in zip(value, mask, strict=True))


def _key(kind: str, *parts: bytes) -> tuple[str, bytes]:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return kind, digest.digest()


def _utf8(text: str) -> bytes:
    # Text that is not Unicode proper cannot come from JSON we read, but must get a verdict too.
    return text.encode(errors="surrogatepass")


def _good(*, ok: bool) -> str:
    return "good" if ok else "bad"
