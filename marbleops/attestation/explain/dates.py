"""Certificates and documents behind evidence, each with the time for which it is good."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marbleops.attestation import quote, tcb, x509chain
from marbleops.attestation.checks import RejectedError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.snp.endorsements import SnpEndorsements
    from marbleops.attestation.verdict import Tee


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A certificate or document; ``note`` is its issuer, or which number of a series it has."""

    name: str
    note: str
    begins: datetime
    ends: datetime | None

    def current(self, at: datetime) -> bool:
        """Say whether it is good at that time."""
        return self.begins <= at and (self.ends is None or at <= self.ends)


def certificates_of(parsed: quote.Quote | None, collateral: Collateral | None) -> tuple[Dated, ...]:
    """Return the chain of the processor's certificate, leaf first, and the signer of the collateral."""
    found: list[Dated] = []
    if parsed is not None:
        pem = parsed.certification_data.rstrip(b"\0")
        if parsed.certification_type != quote.CERT_DATA_PEM_CHAIN:
            pem = ((collateral.pck_certificate_chain if collateral else None) or "").encode(errors="replace")
        found += _chain(pem, x509chain.PCK)
    if collateral is not None:
        signer = collateral.tcb_info_issuer_chain.encode(errors="replace")
        found += _chain(signer, x509chain.TCB_INFO_SIGNING)[:1]
    return tuple(found)


def pck_certificate(parsed: quote.Quote, collateral: Collateral | None) -> x509.Certificate | None:
    """Return the processor's certificate, unverified, where one can be read."""
    embedded = parsed.certification_type == quote.CERT_DATA_PEM_CHAIN
    chain = collateral.pck_certificate_chain if collateral else None
    pem = parsed.certification_data.rstrip(b"\0") if embedded else (chain or "").encode(errors="replace")
    with suppress(RejectedError):
        return x509chain.parse_chain(pem, profile=x509chain.PCK)[0]
    return None


def documents_of(collateral: Collateral, tee: Tee) -> tuple[Dated, ...]:
    """Return the documents of Intel's collateral; one that cannot be read is left out, the checks name it."""
    found: list[Dated] = []
    with suppress(RejectedError):
        info = tcb.parse_tcb_info(collateral.tcb_info, tee)
        note = f"number {info.evaluation_number} for FMSPC {info.fmspc.hex()}"
        found.append(Dated(name="TCB info", note=note, begins=info.issue_date, ends=info.next_update))
    with suppress(RejectedError):
        identity = tcb.parse_qe_identity(collateral.qe_identity, tee)
        note = f"number {identity.evaluation_number}"
        found.append(
            Dated(name="QE identity", note=note, begins=identity.issue_date, ends=identity.next_update)
        )
    for name, raw in (("PCK CRL", collateral.pck_crl), ("Root CRL", collateral.root_ca_crl)):
        with suppress(RejectedError):
            crl = x509chain.parse_crl(raw, label=name)
            note = f"{len(crl)} revoked"
            found.append(Dated(name=name, note=note, begins=crl.last_update_utc, ends=crl.next_update_utc))
    return tuple(found)


def amd_certificates(given: SnpEndorsements) -> tuple[Dated, ...]:
    """Return AMD's certificates as they were given."""
    return tuple(
        Dated(
            name=one.common_name,
            note=f"signed by {one.issuer_name}",
            begins=one.not_before,
            ends=one.not_after,
        )
        for one in given.certificates
    )


def amd_documents(given: SnpEndorsements) -> tuple[Dated, ...]:
    """Return AMD's revocation lists."""
    return tuple(
        Dated(name="CRL", note=f"{len(one.serials)} revoked", begins=one.this_update, ends=one.next_update)
        for one in given.revocation_lists
    )


def _chain(pem: bytes, profile: x509chain.LeafProfile) -> list[Dated]:
    try:
        return [_dated(certificate) for certificate in x509chain.parse_chain(pem, profile=profile)]
    except (RejectedError, ValueError):
        return []


def _dated(certificate: x509.Certificate) -> Dated:
    names = [certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()]
    subject, issuer = (_common_name(name) for name in names)
    return Dated(
        name=subject,
        note="signed by itself" if subject == issuer else f"signed by {issuer}",
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
    )


def _common_name(name: str) -> str:
    parts = [part.removeprefix("CN=") for part in name.split(",") if part.startswith("CN=")]
    return parts[0] if parts else name
