"""Is a document signed by whom it should be? So that a broken source does not fill the cache.

This is a filter, not the verification: the verifier checks everything again, with revocation. AMD's documents
are left to it altogether.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from marbleops.attestation import x509chain
from marbleops.attestation.anchors import spki_der
from marbleops.attestation.checks import Ledger, RejectedError
from marbleops.attestation.verification import signed_by
from marbleops.collateral.documents import UNREADABLE, Document, DocumentError, Kind, signed_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509

    from marbleops.attestation.anchors import Anchors

_PROFILES = {
    Kind.TCB_INFO: x509chain.TCB_INFO_SIGNING,
    Kind.QE_IDENTITY: x509chain.QE_IDENTITY_SIGNING,
}


def known_roots(chains: Iterable[str], anchors: Anchors) -> tuple[x509.Certificate, ...]:
    """Return the pinned roots at the ends of the issuer chains of other documents."""
    roots = []
    for chain in dict.fromkeys(chains):
        try:
            last = x509chain.parse_chain(chain.encode(), profile=x509chain.PCK)[-1]
            if _pin(last) in anchors.spki_sha256:
                roots.append(last)
        except (RejectedError, *UNREADABLE):
            continue  # of a document that is not authentic itself
    return tuple(roots)


def check_authentic(document: Document, anchors: Anchors, roots: Sequence[x509.Certificate] = ()) -> None:
    """Check the signature of Intel's ``document`` and its issuers up to a pinned root.

    Anchors pin a hash of the root's key, and the root's own list comes without a chain: it is checked with
    ``known_roots``, and passes where there are none. Raises ``DocumentError``.
    """
    try:
        if document.key.kind in _PROFILES:
            _check_signed(document, anchors)
        elif document.key.kind is Kind.PCK_CRL:
            _check_pck_list(document, anchors)
        elif document.key.kind is Kind.ROOT_CRL:
            _check_root_list(document, roots)
    except RejectedError as error:
        raise DocumentError(f"not authentic: {error.detail}") from error
    except DocumentError:
        raise
    except UNREADABLE as error:
        raise DocumentError(f"not authentic: a certificate or list is unreadable: {error}") from error


def _check_signed(document: Document, anchors: Anchors) -> None:
    profile = _PROFILES[document.key.kind]
    chain = x509chain.parse_chain(document.issuer_chain.encode(), profile=profile)
    x509chain.check_chain(Ledger(), chain, profile=profile, anchors=anchors)
    text, signature = signed_text(document)
    if not signed_by(x509chain.public_key(chain[0]), signature, text.encode()):
        raise DocumentError("not authentic: its signature is bad")


def _check_pck_list(document: Document, anchors: Anchors) -> None:
    chain = x509chain.parse_chain(document.issuer_chain.encode(), profile=x509chain.PCK)
    if _pin(chain[-1]) not in anchors.spki_sha256:
        raise DocumentError("not authentic: its issuers do not end at a trusted root")
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except InvalidSignature as error:
            raise DocumentError("not authentic: the chain of its issuers is broken") from error
    crl = x509chain.parse_crl(document.body, label="PCK CRL")
    # A PCCS often sends the other CA's chain along (see ``attestation.endorsements``): only its own can tell.
    if crl.issuer == chain[0].subject:
        x509chain.check_crl(Ledger(), crl, label="PCK CRL", issuer=chain[0])


def _check_root_list(document: Document, roots: Sequence[x509.Certificate]) -> None:
    if not roots:
        return
    crl = x509chain.parse_crl(document.body, label="Root CRL")
    root = next((one for one in roots if one.subject == crl.issuer), roots[0])
    x509chain.check_crl(Ledger(), crl, label="Root CRL", issuer=root)


def _pin(certificate: x509.Certificate) -> bytes:
    return hashlib.sha256(spki_der(certificate)).digest()
