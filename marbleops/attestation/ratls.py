"""RA-TLS: evidence in an X.509 certificate, and how it is bound to the key of that (attestation.md 1.3).

Four extensions are in use; a certificate has exactly one of them. What the evidence vouches for is the key
alone. The certificate's own signature is not looked at: the handshake proves possession of the key, and
whatever else the certificate says (names, dates) is said by its holder.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marbleops.attestation import cbor, limits
from marbleops.attestation.checks import Ledger, NoMemo, RejectedError
from marbleops.attestation.evidence import Endorsements, verify_evidence
from marbleops.attestation.policy import DEFAULT, VerificationPolicy
from marbleops.attestation.verdict import Code, Verdict
from marbleops.attestation.x509chain import UNREADABLE

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Memo

OPEN_ENCLAVE_OID: Final = "1.3.6.1.4.1.311.105.1"
OPEN_ENCLAVE_OLD_OID: Final = "1.2.840.113556.10.1.1"
GRAMINE_OID: Final = "2.23.133.5.4.9"
GRAMINE_LEGACY_OID: Final = "0.6.9.42.840.113741.1337.6"  # 1.2.840.113741.1337.6, encoded wrongly for ever

_TAGGED_EVIDENCE: Final = 60000
_SHA256: Final = 1  # IANA, Named Information Hash Algorithm Registry
_FORGETFUL = NoMemo()


class Carrier(StrEnum):
    """Who put the evidence into the certificate."""

    OPEN_ENCLAVE = "open-enclave"
    GRAMINE = "gramine"
    GRAMINE_LEGACY = "gramine-legacy"


_CARRIERS: Final = {
    OPEN_ENCLAVE_OID: Carrier.OPEN_ENCLAVE,
    OPEN_ENCLAVE_OLD_OID: Carrier.OPEN_ENCLAVE,
    GRAMINE_OID: Carrier.GRAMINE,
    GRAMINE_LEGACY_OID: Carrier.GRAMINE_LEGACY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedKey:
    """A certificate's key with the evidence for it: ``bindings`` are the report data that would bind it."""

    carrier: Carrier
    evidence: bytes
    public_key_der: bytes
    bindings: tuple[bytes, ...]


def find_evidence(certificate_der: bytes) -> AttestedKey:
    """Find the evidence in a certificate; raises ``RejectedError`` (RATLS_CERTIFICATE, RATLS_KEY_BINDING)."""
    if len(certificate_der) > limits.MAX_CERTIFICATE_BYTES:
        raise RejectedError(
            Code.RATLS_CERTIFICATE, f"certificate is longer than {limits.MAX_CERTIFICATE_BYTES} bytes"
        )
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        found = [
            (_CARRIERS[extension.oid.dotted_string], extension.value.public_bytes())
            for extension in certificate.extensions
            if extension.oid.dotted_string in _CARRIERS
        ]
        key = certificate.public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except UNREADABLE as error:
        raise RejectedError(Code.RATLS_CERTIFICATE, f"unreadable certificate: {error}") from error
    if len(found) != 1:
        raise RejectedError(Code.RATLS_CERTIFICATE, f"{len(found)} extensions carry evidence, not one")
    carrier, value = found[0]
    if carrier is Carrier.GRAMINE:
        evidence, bindings = _tagged_evidence(value, der)
    elif carrier is Carrier.GRAMINE_LEGACY:
        evidence, bindings = value, (hashlib.sha256(der).digest(),)
    else:
        # EGo hashes the key as DER, Open Enclave as the text of its PEM with C's terminating NUL.
        evidence = value
        bindings = (hashlib.sha256(der).digest(), hashlib.sha256(pem + b"\0").digest())
    return AttestedKey(carrier=carrier, evidence=evidence, public_key_der=der, bindings=bindings)


def check_binding(ledger: Ledger, key: AttestedKey, report_data: bytes) -> None:
    """Check that ``report_data`` binds the key; raises ``RejectedError`` (RATLS_KEY_BINDING)."""
    ok = any(hmac.compare_digest(report_data, binding + bytes(32)) for binding in key.bindings)
    expected = " or ".join(binding.hex() for binding in key.bindings)
    ledger.require(
        "Key binding",
        Code.RATLS_KEY_BINDING,
        ok=ok,
        expected=f"{expected}, then zeros",
        found=report_data.hex(),
    )


def verify_certificate(
    certificate_der: bytes,
    endorsements: Endorsements,
    *,
    anchors: Anchors,
    at: datetime,
    policy: VerificationPolicy = DEFAULT,
    memo: Memo = _FORGETFUL,
) -> Verdict:
    """Verify the evidence in a certificate, and that it is for the certificate's key.

    The verdict is that of ``verify_evidence``, with the checks around it. An appraisal that follows has to be
    given the first half of the report's own data, which this has checked already. Raises ``ValueError`` only
    for a time without a zone.
    """
    try:
        key = find_evidence(certificate_der)
    except RejectedError as error:
        return _refused(anchors, error)
    verdict = verify_evidence(key.evidence, endorsements, anchors=anchors, at=at, policy=policy, memo=memo)
    if not verdict.accepted or verdict.report is None:
        return verdict
    ledger = Ledger(checks=list(verdict.checks))
    try:
        check_binding(ledger, key, verdict.report.report_data)
    except RejectedError as error:
        verdict = replace(verdict, code=error.code, detail=error.detail)
    return replace(verdict, checks=tuple(ledger.checks))


def _tagged_evidence(value: bytes, spki: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    # Tag 60000 [quote, claims]: the report data is the hash of the claims, and these name the key.
    try:
        document = cbor.decode(value)
        if not isinstance(document, cbor.Tagged) or document.tag != _TAGGED_EVIDENCE:
            raise cbor.CborError(f"not tagged {_TAGGED_EVIDENCE}")
        quote, claims = (_octets(part) for part in _pair(document.value))
        members = cbor.decode(claims)
        if not isinstance(members, dict):
            raise cbor.CborError("the claims are not a map")
        algorithm, digest = _pair(cbor.decode(_octets(members.get("pubkey-hash"))))
    except cbor.CborError as error:
        raise RejectedError(Code.RATLS_CERTIFICATE, f"tagged evidence: {error}") from error
    if algorithm != _SHA256:
        raise RejectedError(Code.RATLS_CERTIFICATE, f"hash algorithm {algorithm!r} is not 1, SHA-256")
    if digest != hashlib.sha256(spki).digest():
        raise RejectedError(Code.RATLS_KEY_BINDING, "the claims are for another key than the certificate's")
    return quote, (hashlib.sha256(claims).digest(),)


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise cbor.CborError("not an array of two")
    return value[0], value[1]


def _octets(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise cbor.CborError("not a byte string")
    return value


def _refused(anchors: Anchors, error: RejectedError) -> Verdict:
    ledger = Ledger()
    ledger.close(error)
    return Verdict(
        code=error.code,
        status=None,
        advisories=(),
        report=None,
        checks=tuple(ledger.checks),
        trust_domain=anchors.trust_domain,
        detail=error.detail,
    )
