"""From evidence to the documents that judge it, and from documents to what the verifier takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from marbleops.attestation import pck, quote, x509chain
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.snp import report as snp
from marbleops.attestation.snp.hcl import report_inside, unwrap_hcl
from marbleops.attestation.verdict import Tee
from marbleops.collateral.documents import UNREADABLE, Document, Key, Kind, Update, signed_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INTEL = (Kind.TCB_INFO, Kind.QE_IDENTITY, Kind.PCK_CRL, Kind.ROOT_CRL)
_FILES = {Kind.VCEK: "vcek.der", Kind.CERT_CHAIN: "cert_chain.pem", Kind.SNP_CRL: "crl.der"}


class UnknownPlatformError(ValueError):
    """The evidence does not say which platform's documents it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntelPlatform:
    """A family of Intel's platforms, the CA of its PCK certificates, and what attests on it."""

    tee: Tee
    fmspc: str
    ca: str

    def needs(self, update: Update = Update.STANDARD) -> tuple[Key, ...]:
        """Return the names of the four documents that judge a quote from it."""
        return (
            Key(kind=Kind.TCB_INFO, tee=self.tee, subject=self.fmspc, update=update),
            Key(kind=Kind.QE_IDENTITY, tee=self.tee, update=update),
            Key(kind=Kind.PCK_CRL, subject=self.ca),
            Key(kind=Kind.ROOT_CRL),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AmdPlatform:
    """One of AMD's chips at its firmware versions. ``vcek`` is its path at KDS; none where a VLEK signs."""

    line: snp.ProductLine
    vcek: str | None

    def needs(self) -> tuple[Key, ...]:
        """Return the names of the documents that judge a report from it.

        A VLEK certificate is not published: the cloud provider hands it out with the report.
        """
        root = f"{'vlek' if self.vcek is None else 'vcek'}/v1/{self.line}"
        leaf = () if self.vcek is None else (Key(kind=Kind.VCEK, tee=Tee.SNP, subject=self.vcek),)
        return (
            *leaf,
            Key(kind=Kind.CERT_CHAIN, tee=Tee.SNP, subject=root),
            Key(kind=Kind.SNP_CRL, tee=Tee.SNP, subject=root),
        )


def platform_of(evidence: bytes, line: snp.ProductLine | None = None) -> IntelPlatform | AmdPlatform:
    """Say which platform made ``evidence``; nothing is verified.

    ``line`` is for SNP reports of version 2, which do not say. Raises ``UnknownPlatformError``.
    """
    try:
        if snp.is_hcl(evidence):
            evidence = unwrap_hcl(evidence).report
        if snp.is_snp(evidence):
            return _amd(report_inside(evidence), line)
        parsed = quote.parse_evidence(evidence)
        if parsed.certification_type != quote.CERT_DATA_PEM_CHAIN:
            raise UnknownPlatformError(
                f"the quote has certification data of type {parsed.certification_type}, without a PCK"
                " certificate: name the platform yourself"
            )
        pem = parsed.certification_data.rstrip(b"\0")
        leaf = x509chain.parse_chain(pem, profile=x509chain.PCK)[0]
        return IntelPlatform(tee=parsed.report.tee, fmspc=_fmspc(leaf), ca=_authority(leaf))
    except RejectedError as error:
        raise UnknownPlatformError(f"not evidence that can be read: {error}") from error


def intel_collateral(documents: Iterable[Document]) -> Collateral:
    """Put the four documents together as the verifier takes them.

    Raises ``UnknownPlatformError`` where one is missing.
    """
    by_kind = {document.key.kind: document for document in documents}
    if missing := [kind.value for kind in _INTEL if kind not in by_kind]:
        raise UnknownPlatformError(f"collateral lacks {', '.join(missing)}")
    tcb_info, qe_identity = by_kind[Kind.TCB_INFO], by_kind[Kind.QE_IDENTITY]
    info_text, info_signature = signed_text(tcb_info)
    identity_text, identity_signature = signed_text(qe_identity)
    return Collateral(
        pck_crl_issuer_chain=by_kind[Kind.PCK_CRL].issuer_chain,
        root_ca_crl=by_kind[Kind.ROOT_CRL].body,
        pck_crl=by_kind[Kind.PCK_CRL].body,
        tcb_info_issuer_chain=tcb_info.issuer_chain,
        tcb_info=info_text,
        tcb_info_signature=info_signature,
        qe_identity_issuer_chain=qe_identity.issuer_chain,
        qe_identity=identity_text,
        qe_identity_signature=identity_signature,
    )


def amd_files(documents: Iterable[Document]) -> dict[str, bytes]:
    """Return the files that ``SnpEndorsements.from_files`` and ``attest verify --certs`` take."""
    return {_FILES[document.key.kind]: document.body for document in documents}


def gather(
    platform: IntelPlatform | AmdPlatform, get: Callable[[Key], Document], update: Update = Update.STANDARD
) -> Collateral | dict[str, bytes]:
    """Get every document of ``platform`` and put them together; raises what ``get`` raises."""
    if isinstance(platform, IntelPlatform):
        return intel_collateral([get(key) for key in platform.needs(update)])
    return amd_files([get(key) for key in platform.needs()])


def _fmspc(leaf: x509.Certificate) -> str:
    try:
        values = [
            one.value.public_bytes() for one in leaf.extensions if one.oid.dotted_string == pck.EXTENSION_OID
        ]
        if len(values) != 1:
            raise UnknownPlatformError(f"the PCK certificate has {len(values)} SGX extensions, not one")
        return pck.parse_pck_extension(values[0]).fmspc.hex().upper()
    except UnknownPlatformError:
        raise
    except UNREADABLE as error:  # a DerError is a ValueError
        raise UnknownPlatformError(f"the PCK certificate cannot be read: {error}") from error


def _authority(leaf: x509.Certificate) -> str:
    try:
        found = leaf.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except UNREADABLE as error:
        raise UnknownPlatformError(f"the PCK certificate cannot be read: {error}") from error
    names = " ".join(str(name.value) for name in found)
    for word in ("Platform", "Processor"):
        if f"SGX PCK {word} CA" in names:
            return word.lower()
    raise UnknownPlatformError(f"{names[:100]!r} is neither of the CAs that issue PCK certificates")


def _amd(report: snp.SnpReport, line: snp.ProductLine | None) -> AmdPlatform:
    named = None if report.cpuid is None else snp.line_of_cpuid(report.cpuid[0], report.cpuid[1])
    line = named or line or (snp.ProductLine.TURIN if report.turin_layout else None)
    if line is None:
        raise UnknownPlatformError("the report does not name its processor: say whether it is Milan or Genoa")
    if report.signing_key is snp.SigningKey.VLEK:
        return AmdPlatform(line=line, vcek=None)
    if not any(report.chip_id):
        raise UnknownPlatformError("the report hides its chip, so its VCEK certificate cannot be asked for")
    tcb, turin = report.reported_tcb, line is snp.ProductLine.TURIN
    chip = report.chip_id[: 8 if turin else 64].hex()
    fmc = f"fmcSPL={tcb.fmc or 0}&" if turin else ""
    levels = f"blSPL={tcb.bootloader}&teeSPL={tcb.tee}&snpSPL={tcb.snp}&ucodeSPL={tcb.microcode}"
    return AmdPlatform(line=line, vcek=f"vcek/v1/{line}/{chip}?{fmc}{levels}")
