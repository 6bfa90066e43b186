"""Certificate chains and revocation lists of the SGX PKI (attestation.md 2.1, steps 4 to 7).

A chain here is a short list, leaf first, that must end at a pinned root key; nothing is searched for and
nothing is fetched. What does not depend on time is in ``check_chain`` and ``check_crl``, so that it can be
remembered; validity is checked anew for each verification. Not looked at: key identifiers (names and
signatures already decide) and distribution points (the caller brings the lists).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from marbleops.attestation import der, limits
from marbleops.attestation.anchors import spki_der
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.verdict import Code

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Ledger

Chain = tuple[x509.Certificate, ...]

# What ``cryptography`` raises on certificates that it cannot make sense of; and what it warns of (a serial
# number that is not positive, for one), for whoever runs with warnings as errors.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    UserWarning,
)


_ECDSA: Final = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafProfile:
    """What a leaf must be called, who may issue it, and how long its chain is."""

    label: str
    minimum: int
    maximum: int
    subject: str
    issuers: tuple[str, ...]


PCK: Final = LeafProfile(
    label="PCK certificate chain",
    minimum=3,
    maximum=3,
    subject="SGX PCK Certificate",
    issuers=("SGX PCK Platform CA", "SGX PCK Processor CA"),
)
# Two are enough; one more is let through here so that a PCK certificate in this place is told what it is:
# CERT_NAME.
TCB_INFO_SIGNING: Final = LeafProfile(
    label="TCB info issuer chain", minimum=2, maximum=3, subject="SGX TCB Signing", issuers=("SGX Root CA",)
)
QE_IDENTITY_SIGNING: Final = LeafProfile(
    label="QE identity issuer chain",
    minimum=2,
    maximum=3,
    subject="SGX TCB Signing",
    issuers=("SGX Root CA",),
)


class Reader:
    """Reads each certificate once and checks each signature once, for as long as one verification lasts.

    Certificates are told apart as objects, which ``same`` makes unique and which are kept: to hash one is to
    encode it again.
    """

    def __init__(self) -> None:
        self._known: dict[x509.Certificate, x509.Certificate] = {}
        self._keys: dict[int, tuple[x509.Certificate, ec.EllipticCurvePublicKey]] = {}
        self._issued: dict[tuple[int, int], tuple[x509.Certificate, bool]] = {}

    def same(self, certificate: x509.Certificate) -> x509.Certificate:
        """Return the object that stands for this certificate; it remembers the names it has parsed."""
        return self._known.setdefault(certificate, certificate)

    def key(self, certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
        """Return its P-256 key; raises ``RejectedError`` (CERT_FORMAT)."""
        if id(certificate) not in self._keys:
            self._keys[id(certificate)] = certificate, public_key(certificate)
        return self._keys[id(certificate)][1]

    def issued(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Say whether ``issuer`` signed ``certificate``; raises as ``key`` does."""
        key, pair = self.key(issuer), (id(certificate), id(issuer))
        if pair not in self._issued:
            self._issued[pair] = certificate, _issued_by(certificate, issuer, key)
        return self._issued[pair][1]


def parse_chain(pem: bytes, *, profile: LeafProfile, reader: Reader | None = None) -> Chain:
    """Parse PEM, leaf first; raises ``RejectedError`` (CHAIN_LENGTH, CERT_FORMAT)."""
    if len(pem) > limits.MAX_CHAIN_BYTES or pem.count(b"-----BEGIN ") > limits.MAX_CHAIN_MEMBERS:
        raise RejectedError(Code.CHAIN_LENGTH, f"{profile.label} is too long")
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise RejectedError(Code.CHAIN_LENGTH, f"{profile.label} holds no certificate")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        return tuple(certificates if reader is None else map(reader.same, certificates))
    except UNREADABLE as error:
        raise RejectedError(Code.CERT_FORMAT, f"{profile.label} is not PEM certificates: {error}") from error


def check_chain(
    ledger: Ledger, chain: Chain, *, profile: LeafProfile, anchors: Anchors, reader: Reader | None = None
) -> None:
    """Check everything about a chain that holds at any time; raises ``RejectedError``."""
    try:
        _check_trust(ledger, chain, profile, anchors, reader or Reader())
        _check_constraints(ledger, chain, profile)
        _check_names(ledger, chain, profile)
    except UNREADABLE as error:
        failure = RejectedError(Code.CERT_FORMAT, f"unreadable certificate: {error}")
        ledger.fail(profile.label, failure, expected="X.509 v3 certificates")


def check_validity(ledger: Ledger, chain: Chain, *, profile: LeafProfile, at: datetime) -> None:
    """Check that each member is valid ``at`` that time; raises ``RejectedError`` (CERT_EXPIRED)."""
    now = at.isoformat()
    for index, certificate in enumerate(chain):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        ledger.require(
            f"{profile.label}[{index}] validity",
            Code.CERT_EXPIRED,
            ok=begin <= at <= end,
            expected=f"{begin.isoformat()} to {end.isoformat()}",
            found=now,
        )


def parse_crl(raw: bytes, *, label: str) -> x509.CertificateRevocationList:
    """Parse a list in DER, which zeros may follow (2.7); raises ``RejectedError`` (CRL_FORMAT)."""
    try:
        size = der.total_length(raw)
        if any(raw[size:]):
            raise RejectedError(Code.CRL_FORMAT, f"{label}: bytes follow the list")
        return x509.load_der_x509_crl(raw[:size])
    except (der.DerError, *UNREADABLE) as error:
        raise RejectedError(Code.CRL_FORMAT, f"{label} is not a CRL in DER: {error}") from error


def check_crl(
    ledger: Ledger,
    crl: x509.CertificateRevocationList,
    *,
    label: str,
    issuer: x509.Certificate,
    reader: Reader | None = None,
) -> None:
    """Check issuer, signature and form of a list; raises ``RejectedError``."""
    try:
        found, expected = _text(crl.issuer), _text(issuer.subject)
        ledger.require(
            f"{label} issuer",
            Code.CRL_ISSUER,
            ok=crl.issuer == issuer.subject,
            expected=expected,
            found=found,
        )
        key = (reader or Reader()).key(issuer)
        good = crl.is_signature_valid(key) and isinstance(crl.signature_hash_algorithm, hashes.SHA256)
        ledger.require(
            f"{label} signature", Code.CRL_SIGNATURE, ok=good, expected=f"by {expected}", found=_good(ok=good)
        )
        # RFC 5280, 5.2: a critical extension may narrow what the list covers (delta lists, distribution
        # points).
        critical = [extension.oid.dotted_string for extension in crl.extensions if extension.critical]
        ledger.require(
            f"{label} extensions",
            Code.CRL_FORMAT,
            ok=not critical and crl.next_update_utc is not None,
            expected="a complete list with a next update",
            found=f"critical {critical}" if critical else _good(ok=crl.next_update_utc is not None),
        )
    except UNREADABLE as error:
        ledger.fail(label, RejectedError(Code.CRL_FORMAT, f"unreadable: {error}"), expected="a CRL")


def check_crl_validity(
    ledger: Ledger,
    crl: x509.CertificateRevocationList,
    *,
    label: str,
    at: datetime,
    grace: timedelta = timedelta(0),
) -> None:
    """Check thisUpdate, and nextUpdate with ``grace``.

    Raises ``RejectedError`` (CRL_NOT_YET_VALID, CRL_EXPIRED).
    """
    begin, end, now = crl.last_update_utc, crl.next_update_utc, at.isoformat()
    since, until = f"not before {begin.isoformat()}", f"not after {end and end.isoformat()}"
    ledger.require(f"{label} this update", Code.CRL_NOT_YET_VALID, ok=begin <= at, expected=since, found=now)
    fresh = end is not None and at - grace <= end
    expected = f"{until}, with a grace of {grace}" if grace else until
    ledger.require(f"{label} next update", Code.CRL_EXPIRED, ok=fresh, expected=expected, found=now)


def check_not_revoked(
    ledger: Ledger, crl: x509.CertificateRevocationList, certificate: x509.Certificate, *, label: str
) -> None:
    """Check that a list does not name ``certificate``; raises ``RejectedError`` (CERT_REVOKED)."""
    listed = crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    found = f"serial {certificate.serial_number:x} is {'revoked' if listed else 'not listed'}"
    ledger.require(
        f"{label} revocation", Code.CERT_REVOKED, ok=not listed, expected="not revoked", found=found
    )


def _check_trust(
    ledger: Ledger, chain: Chain, profile: LeafProfile, anchors: Anchors, reader: Reader
) -> None:
    # Step 4: length, pinned root, signatures from the leaf to the root, and the root's own.
    length = (
        f"{profile.minimum}"
        if profile.minimum == profile.maximum
        else f"{profile.minimum} to {profile.maximum}"
    )
    ok = profile.minimum <= len(chain) <= profile.maximum
    ledger.require(
        f"{profile.label} length", Code.CHAIN_LENGTH, ok=ok, expected=length, found=str(len(chain))
    )
    spki = hashlib.sha256(spki_der(chain[-1])).digest()
    ledger.require(
        f"{profile.label} root key",
        Code.CHAIN_UNTRUSTED_ROOT,
        ok=spki in anchors.spki_sha256,
        expected=" or ".join(sorted(pin.hex() for pin in anchors.spki_sha256)) or "no root is trusted",
        found=spki.hex(),
    )
    for index, certificate in enumerate(chain):
        issuer = chain[min(index + 1, len(chain) - 1)]
        good = reader.issued(certificate, issuer)
        expected = f"signed by {_text(issuer.subject)}"
        name = f"{profile.label}[{index}] signature"
        ledger.require(name, Code.CERT_SIGNATURE, ok=good, expected=expected, found=_good(ok=good))


def _issued_by(
    certificate: x509.Certificate, issuer: x509.Certificate, key: ec.EllipticCurvePublicKey
) -> bool:
    if certificate.signature_algorithm_oid != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        return False
    if certificate.issuer != issuer.subject:
        return False
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RejectedError(Code.CERT_FORMAT, f"key of {_text(certificate.subject)} is not on P-256")
    return key


def public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key of a checked certificate; raises ``RejectedError`` (CERT_FORMAT)."""
    try:
        return _key(certificate)
    except UNREADABLE as error:
        raise RejectedError(Code.CERT_FORMAT, f"unreadable key: {error}") from error


def _check_constraints(ledger: Ledger, chain: Chain, profile: LeafProfile) -> None:
    # Step 6, before the names: a CA in the place of a leaf is the more telling finding.
    for index, certificate in enumerate(chain):
        basic, usage, strange = _constraints(certificate)
        where = f"{profile.label}[{index}]"
        if index == 0:
            ca = basic is not None and basic.value.ca
            found = "a CA" if ca else "not a CA"
            ledger.require(f"{where} role", Code.CERT_CA_AS_LEAF, ok=not ca, expected="not a CA", found=found)
        else:
            # RFC 5280, 4.2.1.9: the path length counts the intermediates below this one, without the leaf.
            limit = None if basic is None else basic.value.path_length
            ok = basic is not None and basic.critical and basic.value.ca
            ok = ok and (limit is None or limit >= index - 1)
            expected = f"a CA that allows {index - 1} below it"
            found = f"path length {limit}" if ok or basic else "no basic constraints"
            ledger.require(f"{where} role", Code.CERT_CONSTRAINTS, ok=ok, expected=expected, found=found)
        _check_usage(ledger, usage, where, ca=index > 0)
        # RFC 5280, 4.2: whoever does not know a critical extension must refuse the certificate.
        found = ", ".join(strange) or "none"
        name = f"{where} critical extensions"
        ledger.require(
            name, Code.CERT_CONSTRAINTS, ok=not strange, expected="none that is unknown", found=found
        )


def _constraints(
    certificate: x509.Certificate,
) -> tuple[x509.Extension[x509.BasicConstraints] | None, x509.KeyUsage | None, list[str]]:
    basic, usage, strange = None, None, []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            basic = extension
        elif isinstance(extension.value, x509.KeyUsage):
            usage = extension.value
        elif extension.critical:
            strange.append(extension.oid.dotted_string)
    return basic, usage, strange


def _check_usage(ledger: Ledger, usage: x509.KeyUsage | None, where: str, *, ca: bool) -> None:
    if usage is None:
        ok = False
    elif ca:
        ok = usage.key_cert_sign and usage.crl_sign
    else:
        ok = usage.digital_signature and not usage.key_cert_sign
    expected = "key usage keyCertSign and cRLSign" if ca else "key usage digitalSignature"
    ledger.require(f"{where} usage", Code.CERT_CONSTRAINTS, ok=ok, expected=expected, found=_good(ok=ok))


def _check_names(ledger: Ledger, chain: Chain, profile: LeafProfile) -> None:
    # Step 5. Without it any key below the root could sign collateral, a PCK's too (2.8,
    # tcb_info_signed_by_pck).
    subject, issuer = _common_name(chain[0].subject), _common_name(chain[1].subject)
    ok = profile.subject in subject
    ledger.require(f"{profile.label} subject", Code.CERT_NAME, ok=ok, expected=profile.subject, found=subject)
    ok = any(name in issuer for name in profile.issuers)
    expected = " or ".join(profile.issuers)
    ledger.require(f"{profile.label} issuer", Code.CERT_NAME, ok=ok, expected=expected, found=issuer)


def _common_name(name: x509.Name) -> str:
    values = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return values[0] if len(values) == 1 else ""


def _text(name: x509.Name) -> str:
    return _common_name(name) or name.rfc4514_string()


def _good(*, ok: bool) -> str:
    return "good" if ok else "bad"
