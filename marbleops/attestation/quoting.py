"""The quoting enclave, and the quote that it signed: steps 10 to 13 of attestation.md 2.1."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from marbleops.attestation.checks import Ledger, RejectedError
from marbleops.attestation.verdict import Code
from marbleops.attestation.verification import Run, good, signed_by

if TYPE_CHECKING:
    from marbleops.attestation import quote, tcb
    from marbleops.attestation.endorsements import Endorsed, SignedChain
    from marbleops.attestation.verdict import Report


def check_quote(run: Run, parsed: quote.Quote, endorsed: Endorsed) -> None:
    """Do the steps 10 to 13; raises ``RejectedError``."""
    # 10 QE report signature; 11 QE report data; 13 (first half) the key is on its curve
    attestation_key = _qe_report(run, parsed, endorsed.pck_chain)
    # 12 QE identity
    _qe_is_intels(run.ledger, parsed.qe_report, endorsed.qe_identity)
    # 13 quote signature
    ok = signed_by(attestation_key, parsed.signature, parsed.signed)
    expected = "by the attestation key"
    run.ledger.require("Quote signature", Code.QUOTE_SIGNATURE, ok=ok, expected=expected, found=good(ok=ok))


def _qe_report(run: Run, parsed: quote.Quote, chain: SignedChain) -> ec.EllipticCurvePublicKey:
    def work(ledger: Ledger) -> ec.EllipticCurvePublicKey:
        ok = signed_by(run.reader.key(chain.leaf), parsed.qe_report_signature, parsed.qe_report_bytes)
        name, expected = "QE report signature", "by the PCK key"
        ledger.require(name, Code.QE_REPORT_SIGNATURE, ok=ok, expected=expected, found=good(ok=ok))
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

    parts = (
        chain.pem,
        parsed.qe_report_bytes,
        parsed.qe_report_signature,
        parsed.attestation_key,
        parsed.qe_auth_data,
    )
    return run.recall("qe-report", parts, work)


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


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one & other for one, other in zip(value, mask, strict=True))
