"""The documents that vendors publish: what names one, and what it says about itself (attestation.md 2.7).

Pure. A document is kept as its source sent it, because signatures cover exact bytes; dates and numbers are
read from it each time. Nothing here is verified: ``authentic`` and the verifier do that.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from marbleops.attestation import der, tcb, x509chain
from marbleops.attestation import limits as verifier
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import CollateralError, load_json_object
from marbleops.attestation.snp.certificate import parse_certificate, parse_revocation_list
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from datetime import datetime


# What ``cryptography`` raises, or warns of, on what it parses only when asked.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    UserWarning,
)


class DocumentError(ValueError):
    """The bytes are not the document that was asked for."""


class Kind(StrEnum):
    """What is published."""

    TCB_INFO = "tcb-info"
    QE_IDENTITY = "qe-identity"
    PCK_CRL = "pck-crl"
    ROOT_CRL = "root-crl"
    VCEK = "vcek"
    CERT_CHAIN = "cert-chain"
    SNP_CRL = "snp-crl"


class Update(StrEnum):
    """Which set of Intel's evaluation data: the newest at once, or the one that lags by a year (2.5)."""

    STANDARD = "standard"
    EARLY = "early"


INTEL_KINDS: Final = frozenset({Kind.TCB_INFO, Kind.QE_IDENTITY, Kind.PCK_CRL, Kind.ROOT_CRL})
_WITH_UPDATE = frozenset({Kind.TCB_INFO, Kind.QE_IDENTITY})
_SUBJECTS: Final = {
    Kind.TCB_INFO: re.compile(r"[0-9A-F]{12}"),
    Kind.QE_IDENTITY: re.compile(r""),
    Kind.PCK_CRL: re.compile(r"processor|platform"),
    Kind.ROOT_CRL: re.compile(r""),
    # AMD's documents are named by their path at KDS.
    Kind.VCEK: re.compile(
        r"vcek/v1/(Milan|Genoa)/[0-9a-f]{128}\?blSPL=\d{1,3}&teeSPL=\d{1,3}&snpSPL=\d{1,3}&ucodeSPL=\d{1,3}"
        r"|vcek/v1/Turin/[0-9a-f]{16}"
        r"\?fmcSPL=\d{1,3}&blSPL=\d{1,3}&teeSPL=\d{1,3}&snpSPL=\d{1,3}&ucodeSPL=\d{1,3}",
        re.ASCII,
    ),
    Kind.CERT_CHAIN: re.compile(r"(vcek|vlek)/v1/(Milan|Genoa|Turin)"),
    Kind.SNP_CRL: re.compile(r"(vcek|vlek)/v1/(Milan|Genoa|Turin)"),
}
_WORDS: Final = {
    Kind.TCB_INFO: "TCB info of FMSPC",
    Kind.QE_IDENTITY: "QE identity",
    Kind.PCK_CRL: "PCK CRL of the CA",
    Kind.ROOT_CRL: "root CA CRL",
    Kind.VCEK: "VCEK certificate",
    Kind.CERT_CHAIN: "certificate chain",
    Kind.SNP_CRL: "CRL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The name of one document.

    ``subject`` is a FMSPC in upper hex, the word of a PCK CA, or a path at AMD's KDS; lists and chains of
    Intel stand for SGX and TDX alike and are named as SGX's. Raises ``DocumentError`` where it names nothing.
    """

    kind: Kind
    tee: Tee = Tee.SGX
    subject: str = ""
    update: Update = Update.STANDARD

    def __post_init__(self) -> None:
        tees = {Tee.SGX, Tee.TDX} if self.kind in _WITH_UPDATE else {Tee.SGX}
        if self.tee not in (tees if self.kind in INTEL_KINDS else {Tee.SNP}):
            raise DocumentError(f"there is no {self.kind} for {self.tee}")
        if not _SUBJECTS[self.kind].fullmatch(self.subject):
            raise DocumentError(f"{self.subject[:200]!r} does not name a {self.kind}")
        if self.update is not Update.STANDARD and self.kind not in _WITH_UPDATE:
            raise DocumentError(f"a {self.kind} has no early set")

    def __str__(self) -> str:
        subject = self.subject
        if self.kind is Kind.VCEK:
            subject = f"{subject[:24]}…{subject.partition('?')[2]}"
        text = f"{self.tee.upper()} {_WORDS[self.kind]} {subject}".rstrip()
        return f"{text} ({self.update})" if self.kind in _WITH_UPDATE else text

    @property
    def name(self) -> str:
        """Return a name for a file; different keys have different ones."""
        subject = self.subject.lower()
        if not re.fullmatch(r"[a-z0-9]*", subject):
            subject = hashlib.sha256(subject.encode()).hexdigest()[:32]
        return "-".join(word for word in (self.kind, self.tee, subject, self.update) if word)

    def to_json(self) -> dict[str, str]:
        """Return the key for a file."""
        return {"kind": self.kind, "tee": self.tee, "subject": self.subject, "update": self.update}

    @classmethod
    def from_json(cls, value: Any) -> Key:
        """Read what ``to_json`` wrote; raises ``DocumentError``."""
        try:
            members = {name: value[name] for name in ("kind", "tee", "subject", "update")}
            if len(value) != 4 or not all(isinstance(text, str) for text in members.values()):
                raise DocumentError("a key has the four members kind, tee, subject and update")
            return cls(
                kind=Kind(members["kind"]),
                tee=Tee(members["tee"]),
                subject=members["subject"],
                update=Update(members["update"]),
            )
        except DocumentError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DocumentError(f"not the key of a document: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as published, and what it says of itself.

    ``number`` is the evaluation data number of signed JSON, or the number of a list. ``refreshed`` tells
    whether a newer one is to be expected before it expires: a certificate stays as it is.
    """

    key: Key
    body: bytes
    issuer_chain: str
    issued: datetime
    expires: datetime
    number: int | None = None

    @property
    def refreshed(self) -> bool:
        """Say whether its publisher replaces it regularly."""
        return self.key.kind not in (Kind.VCEK, Kind.CERT_CHAIN)


def read_document(key: Key, body: bytes, issuer_chain: str = "") -> Document:
    """Read the document that ``key`` names; raises ``DocumentError`` where it is another one, or none."""
    if len(issuer_chain) > verifier.MAX_CHAIN_BYTES:
        raise DocumentError(f"issuer chain is longer than {verifier.MAX_CHAIN_BYTES} bytes")
    number: int | None
    try:
        if key.kind in (Kind.TCB_INFO, Kind.QE_IDENTITY):
            issued, expires, number = _signed(key, body)
        elif key.kind in (Kind.PCK_CRL, Kind.ROOT_CRL):
            issued, expires, number = _intel_list(key, body)
        else:
            issued, expires, number = _amd(key, body)
    except (CollateralError, der.DerError) as error:
        raise DocumentError(str(error)) from error
    except RejectedError as error:
        raise DocumentError(error.detail) from error
    return Document(
        key=key, body=body, issuer_chain=issuer_chain, issued=issued, expires=expires, number=number
    )


def slice_signed(body: bytes, member: str) -> tuple[str, bytes]:
    """Return the exact text of ``member`` in ``body``, and the signature beside it.

    The signature covers the text as it stands in the answer, so it is cut out, never written again. Raises
    ``DocumentError``.
    """
    try:
        document = load_json_object(body, limit=verifier.MAX_SIGNED_JSON_BYTES)
    except CollateralError as error:
        raise DocumentError(str(error)) from error
    if set(document) != {member, "signature"}:
        raise DocumentError(f"expected the members {member!r} and 'signature', found {sorted(document)[:4]}")
    try:
        signature = bytes.fromhex(document["signature"])
    except (ValueError, TypeError) as error:
        raise DocumentError("signature is not hexadecimal") from error
    if len(signature) != 64:
        raise DocumentError(f"signature has {len(signature)} bytes, not 64")
    return _member_text(body.decode(), member), signature


def list_number(crl: x509.CertificateRevocationList) -> int | None:
    """Return the number of a revocation list, where it has one; raises ``DocumentError``."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE as error:
        raise DocumentError(f"unreadable revocation list: {error}") from error


_MEMBER_OF = {Kind.TCB_INFO: "tcbInfo", Kind.QE_IDENTITY: "enclaveIdentity"}


def signed_text(document: Document) -> tuple[str, bytes]:
    """Return what is signed in TCB info or QE identity, and the signature."""
    return slice_signed(document.body, _MEMBER_OF[document.key.kind])


def _signed(key: Key, body: bytes) -> tuple[datetime, datetime, int]:
    text, _ = slice_signed(body, _MEMBER_OF[key.kind])
    if key.kind is Kind.QE_IDENTITY:
        identity = tcb.parse_qe_identity(text, key.tee)
        return identity.issue_date, identity.next_update, identity.evaluation_number
    info = tcb.parse_tcb_info(text, key.tee)
    if (found := info.fmspc.hex().upper()) != key.subject:
        raise DocumentError(f"TCB info is of FMSPC {found}")
    return info.issue_date, info.next_update, info.evaluation_number


def _intel_list(key: Key, body: bytes) -> tuple[datetime, datetime, int | None]:
    if len(body) > verifier.MAX_CRL_BYTES:
        raise DocumentError(f"revocation list is longer than {verifier.MAX_CRL_BYTES} bytes")
    crl = x509chain.parse_crl(body, label="list")
    try:
        names = [str(name.value) for name in crl.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    except UNREADABLE as error:
        raise DocumentError(f"unreadable revocation list: {error}") from error
    wanted = "SGX Root CA" if key.kind is Kind.ROOT_CRL else f"SGX PCK {key.subject.capitalize()} CA"
    if len(names) != 1 or wanted not in names[0]:
        raise DocumentError(f"revocation list is of {', '.join(names) or 'nobody'}, not of {wanted!r}")
    if crl.next_update_utc is None:
        raise DocumentError("revocation list has no next update")
    return crl.last_update_utc, crl.next_update_utc, list_number(crl)


def _amd(key: Key, body: bytes) -> tuple[datetime, datetime, int | None]:
    if key.kind is Kind.VCEK:
        certificate = parse_certificate(body)
        return certificate.not_before, certificate.not_after, None
    if key.kind is Kind.SNP_CRL:
        revocation = parse_revocation_list(body)
        crl = x509chain.parse_crl(body, label="list")
        return revocation.this_update, revocation.next_update, list_number(crl)
    chain = SnpEndorsements.from_files({"chain": body}).certificates
    if len(chain) != 2:
        raise DocumentError(f"expected the certificates of two authorities, found {len(chain)}")
    return max(one.not_before for one in chain), min(one.not_after for one in chain), None


_SPACE = " \t\r\n"


def _member_text(text: str, member: str) -> str:
    # The text is one JSON object, that much is known: no index runs past its end.
    decode = json.JSONDecoder().raw_decode
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] == '"':
        name, at = decode(text, at)
        begin = _skip(text, _skip(text, at) + 1)  # past the colon
        _, end = decode(text, begin)
        if name == member:
            return text[begin:end]
        at = _skip(text, _skip(text, end) + 1)  # past the comma, or the closing brace
    raise DocumentError(f"member {member!r} is missing")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
