"""Invariant: any certificate gets a verdict, and only one for the key that was really quoted is accepted.

Half of the inputs are certificates; the others are the value of their extension, put into a certificate
afterwards, so that what lies inside is reached more often. Run like ``fuzz_quote``.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from conformance import quotesmith as smith
from fuzz.mutate import run
from marbleops.attestation import ratls
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform.softpki import derive_key

KEY = derive_key(smith.SEED, "ratls")
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
DIGEST = hashlib.sha256(SPKI).digest()
CLAIMS = b"\xa1\x6bpubkey-hash\x58\x24\x82\x01\x58\x20" + DIGEST
ANCHORS, COLLATERAL = Anchors.simulation(smith.ANCHOR), smith.collateral()


def certificate(oid: str, value: bytes) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RA-TLS")])
    year = timedelta(days=365)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(smith.AT).not_valid_after(smith.AT + year)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
    signed = builder.add_extension(extension, critical=False).sign(KEY, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def tagged() -> bytes:
    quote = smith.raw_quote(report_data=hashlib.sha256(CLAIMS).digest())
    head = b"\xd9\xea\x60\x82\x59" + len(quote).to_bytes(2, "big")
    return head + quote + b"\x58" + bytes([len(CLAIMS)]) + CLAIMS


VALUES = {
    ratls.GRAMINE_OID: tagged(),
    ratls.GRAMINE_LEGACY_OID: smith.raw_quote(report_data=DIGEST),
    ratls.OPEN_ENCLAVE_OID: smith.oe_report(smith.raw_quote(report_data=DIGEST)),
}
GOOD = [certificate(oid, value) for oid, value in VALUES.items()]


def one_input(raw: bytes) -> None:
    given = [raw] if raw[:1] == b"\x30" else [certificate(oid, raw) for oid in VALUES]
    for der in given:
        verdict = ratls.verify_certificate(der, COLLATERAL, anchors=ANCHORS, at=smith.AT)
        assert verdict.checks[-1].ok == verdict.accepted
        if verdict.accepted:
            assert ratls.find_evidence(der).public_key_der == SPKI, (
                "another key than the quoted one is accepted"
            )


for good in GOOD:
    assert ratls.verify_certificate(good, COLLATERAL, anchors=ANCHORS, at=smith.AT).accepted

if __name__ == "__main__":
    run(one_input, [*GOOD, *VALUES.values()], seconds=0.05)
