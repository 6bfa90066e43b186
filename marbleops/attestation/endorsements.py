"""What vouches for a quote before it is looked at: steps 4 to 9 of attestation.md 2.1.

Certificates, revocation lists, the two documents that Intel signs, and the extension in which the processor's
certificate describes the platform. Not used: ``pck_crl_issuer_chain``. The list must be signed by the CA of
the quote's own PCK certificate, so the chain says nothing that is not known already, and published collateral
often carries another one there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.attestation import der, pck, quote, tcb, x509chain
from marbleops.attestation.anchors import spki_der
from marbleops.attestation.checks import Ledger, RejectedError
from marbleops.attestation.verdict import Check, Code
from marbleops.attestation.verification import Run, good, signed_by, utf8

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from marbleops.attestation.verdict import Tee

_PCK_CRL = "PCK CRL"
_ROOT_CRL = "Root CRL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedChain:
    """A checked chain, and the text it was read from: what depends on it is remembered under that."""

    members: x509chain.Chain
    pem: bytes

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that the chain is for."""
        return self.members[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsed:
    """What steps 4 to 9 leave for the others: the PCK certificate and what Intel says about its platform."""

    pck_chain: SignedChain
    extension: pck.PckExtension
    tcb_info: tcb.TcbInfo
    qe_identity: tcb.QeIdentity


def check_endorsements(run: Run, parsed: quote.Quote) -> Endorsed:
    """Do the steps 4 to 9 for ``parsed``; raises ``RejectedError``."""
    # 4 chains to a pinned root; 5 names; 6 constraints and validity, for the PCK and both signers of
    # collateral
    pck_chain = _chain(run, _pck_pem(run, parsed), x509chain.PCK)
    tcb_chain, qe_chain = _signer_chains(run)
    # 7 revocation
    _revocation(run, pck_chain, tcb_chain, qe_chain)
    # 8 TCB info and QE identity
    tee = parsed.report.tee
    tcb_info = _tcb_info(run, tcb_chain, tee)
    qe_identity = _qe_identity(run, qe_chain, tee)
    # 9 the PCK's extension belongs to this TCB info
    extension = _extension(run, pck_chain, tcb_info)
    return Endorsed(pck_chain=pck_chain, extension=extension, tcb_info=tcb_info, qe_identity=qe_identity)


def _pck_pem(run: Run, parsed: quote.Quote) -> bytes:
    # 1.1: types 2 and 3 identify the platform without certifying it; the collateral must bring the chain
    # then.
    kind, chain = parsed.certification_type, run.collateral.pck_certificate_chain
    embedded = kind == quote.CERT_DATA_PEM_CHAIN
    ok = embedded or (kind in quote.CERT_DATA_ENCRYPTED_PPID and chain is not None)
    expected = "5, or 2 or 3 with a PCK chain in the collateral"
    name = "Certification data type"
    run.ledger.require(name, Code.QUOTE_CERT_DATA_TYPE, ok=ok, expected=expected, found=str(kind))
    return parsed.certification_data.rstrip(b"\0") if embedded else utf8(chain or "")


def _chain(run: Run, pem: bytes, profile: x509chain.LeafProfile) -> SignedChain:
    def work(ledger: Ledger) -> x509chain.Chain:
        try:
            chain = x509chain.parse_chain(pem, profile=profile, reader=run.reader)
        except RejectedError as error:
            ledger.fail(profile.label, error, expected="PEM certificates, leaf first")
            raise
        x509chain.check_chain(ledger, chain, profile=profile, anchors=run.anchors, reader=run.reader)
        return chain

    chain = run.recall(profile.label, (pem, *sorted(run.anchors.spki_sha256)), work)
    x509chain.check_validity(run.ledger, chain, profile=profile, at=run.at)
    return SignedChain(members=chain, pem=pem)


def _signer_chains(run: Run) -> tuple[SignedChain, SignedChain]:
    tcb, qe = x509chain.TCB_INFO_SIGNING, x509chain.QE_IDENTITY_SIGNING
    begin = len(run.ledger.checks)
    tcb_chain = _chain(run, utf8(run.collateral.tcb_info_issuer_chain), tcb)
    if run.collateral.qe_identity_issuer_chain != run.collateral.tcb_info_issuer_chain:
        return tcb_chain, _chain(run, utf8(run.collateral.qe_identity_issuer_chain), qe)
    # Intel publishes one chain in both places: it has been checked, for the same profile under another label.
    for done in run.ledger.checks[begin:]:
        name = done.name.replace(tcb.label, qe.label)
        run.ledger.checks.append(Check(name=name, ok=True, expected=done.expected, found=done.found))
    return tcb_chain, tcb_chain


def _revocation(run: Run, pck_chain: SignedChain, tcb_chain: SignedChain, qe_chain: SignedChain) -> None:
    leaf, ca, root = pck_chain.members
    # One authority vouches for all of it: another trusted root's list says nothing about this one's signers.
    for chain, label in ((tcb_chain, "TCB info root"), (qe_chain, "QE identity root")):
        other = chain.members[-1]
        same = other == root or spki_der(other) == spki_der(root)
        found = "the same" if same else "another trusted root"
        run.ledger.require(label, Code.CHAIN_UNTRUSTED_ROOT, ok=same, expected="the PCK's root", found=found)
    root_crl = _crl(run, run.collateral.root_ca_crl, _ROOT_CRL, pck_chain, root)
    pck_crl = _crl(run, run.collateral.pck_crl, _PCK_CRL, pck_chain, ca)
    x509chain.check_not_revoked(run.ledger, root_crl, ca, label="PCK CA")
    x509chain.check_not_revoked(run.ledger, root_crl, tcb_chain.leaf, label="TCB info signer")
    x509chain.check_not_revoked(run.ledger, root_crl, qe_chain.leaf, label="QE identity signer")
    x509chain.check_not_revoked(run.ledger, pck_crl, leaf, label="PCK certificate")


def _crl(
    run: Run, raw: bytes, label: str, chain: SignedChain, issuer: x509.Certificate
) -> x509.CertificateRevocationList:
    def work(ledger: Ledger) -> x509.CertificateRevocationList:
        try:
            crl = x509chain.parse_crl(raw, label=label)
        except RejectedError as error:
            ledger.fail(label, error, expected="a CRL in DER")
            raise
        x509chain.check_crl(ledger, crl, label=label, issuer=issuer, reader=run.reader)
        return crl

    crl = run.recall(label, (raw, chain.pem), work)
    x509chain.check_crl_validity(run.ledger, crl, label=label, at=run.at, grace=run.policy.collateral_grace)
    return crl


def _tcb_info(run: Run, signer: SignedChain, tee: Tee) -> tcb.TcbInfo:
    text, signature = utf8(run.collateral.tcb_info), run.collateral.tcb_info_signature

    def work(ledger: Ledger) -> tcb.TcbInfo:
        key = run.reader.key(signer.leaf)
        _signed_document(ledger, "TCB info", Code.TCB_INFO_SIGNATURE, key=key, signature=signature, text=text)
        try:
            return tcb.parse_tcb_info(run.collateral.tcb_info, tee)
        except RejectedError as error:
            ledger.fail("TCB info", error, expected=f"TCB info for {tee.upper()}, version 3")
            raise

    info = run.recall(f"tcb-{tee}", (text, signature, signer.pem), work)
    codes = (Code.TCB_INFO_NOT_YET_VALID, Code.TCB_INFO_EXPIRED)
    _current(run, "TCB info", codes, info.issue_date, info.next_update)
    return info


def _qe_identity(run: Run, signer: SignedChain, tee: Tee) -> tcb.QeIdentity:
    text, signature = utf8(run.collateral.qe_identity), run.collateral.qe_identity_signature
    name, code = "QE identity", Code.QE_IDENTITY_SIGNATURE

    def work(ledger: Ledger) -> tcb.QeIdentity:
        key = run.reader.key(signer.leaf)
        _signed_document(ledger, name, code, key=key, signature=signature, text=text)
        try:
            return tcb.parse_qe_identity(run.collateral.qe_identity, tee)
        except RejectedError as error:
            expected = f"the identity of the {tee.upper()} quoting enclave, version 2"
            ledger.fail(name, error, expected=expected)
            raise

    identity = run.recall(f"qe-{tee}", (text, signature, signer.pem), work)
    codes = (Code.QE_IDENTITY_NOT_YET_VALID, Code.QE_IDENTITY_EXPIRED)
    _current(run, name, codes, identity.issue_date, identity.next_update)
    return identity


def _signed_document(
    ledger: Ledger, name: str, code: Code, *, key: ec.EllipticCurvePublicKey, signature: bytes, text: bytes
) -> None:
    # 2.7: the signature covers the exact bytes of the published value.
    ok = signed_by(key, signature, text)
    ledger.require(f"{name} signature", code, ok=ok, expected="by the TCB signing key", found=good(ok=ok))


def _current(run: Run, name: str, codes: tuple[Code, Code], issued: datetime, until: datetime) -> None:
    now, grace = run.at.isoformat(), run.policy.collateral_grace
    begin, end = f"not before {issued.isoformat()}", f"not after {until.isoformat()}"
    run.ledger.require(f"{name} issue date", codes[0], ok=issued <= run.at, expected=begin, found=now)
    expected = f"{end}, with a grace of {grace}" if grace else end
    fresh = run.at - grace <= until
    run.ledger.require(f"{name} next update", codes[1], ok=fresh, expected=expected, found=now)


def _extension(run: Run, chain: SignedChain, info: tcb.TcbInfo) -> pck.PckExtension:
    def work(ledger: Ledger) -> pck.PckExtension:
        extensions = chain.leaf.extensions
        values = [e.value.public_bytes() for e in extensions if e.oid.dotted_string == pck.EXTENSION_OID]
        expected = "exactly one SGX extension"
        name = "PCK extension"
        count = len(values)
        ledger.require(name, Code.PCK_EXTENSION, ok=count == 1, expected=expected, found=str(count))
        try:
            return pck.parse_pck_extension(values[0])
        except der.DerError as error:
            ledger.fail(name, RejectedError(Code.PCK_EXTENSION, str(error)), expected="Intel's members")
            raise

    extension = run.recall("extension", (chain.pem,), work)
    run.ledger.equal("FMSPC", Code.TCB_INFO_FMSPC, expected=extension.fmspc, found=info.fmspc)
    run.ledger.equal("PCEID", Code.TCB_INFO_PCEID, expected=extension.pce_id, found=info.pce_id)
    return extension
