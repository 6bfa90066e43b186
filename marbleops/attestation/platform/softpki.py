"""The simulation platform's certificates, revocation lists and keys (attestation.md 5.2).

Everything is derived from one seed: equal seeds and times give equal bytes, which fixtures need and hardware
never does. Names keep Intel's phrases, so that the verifier's name checks run unchanged, and say INSECURE in
every one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from marbleops.attestation import der
from marbleops.attestation.anchors import SIMULATION_ORGANIZATION
from marbleops.attestation.pck import EXTENSION_OID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

FMSPC: Final = bytes.fromhex("50ff00000000")  # not a value that Intel uses
PCE_ID: Final = bytes(2)
COMPONENTS: Final = (3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0)
PCE_SVN: Final = 13
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186)
_PREFIX = "Software TEE INSECURE "
_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_URI = "https://insecure-software-tee.invalid/crl.der"
_YEAR = timedelta(days=365)


def derive(seed: bytes, label: str, length: int = 32) -> bytes:
    """Return ``length`` bytes that depend on the seed and on what they are for."""
    info = b"marbleops/simulation/v1\0" + label.encode()
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(seed)


def derive_key(seed: bytes, label: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key for ``label``; 48 bytes make the bias of the reduction negligible."""
    number = int.from_bytes(derive(seed, f"key {label}", 48), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return a raw signature r||s, the same for the same message (RFC 6979)."""
    encoded = key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(encoded)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """Return the certificate as PEM."""
        return self.certificate.public_bytes(_PEM).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """The four certificates of one simulated machine."""

    root: Authority
    pck_ca: Authority
    tcb_signing: Authority
    pck: Authority


def build_pki(seed: bytes, created: datetime) -> Pki:
    """Build the certificates of the machine whose seed this is, as of ``created``."""
    begin = created - timedelta(days=1)
    ca_life, leaf_life = 10 * _YEAR, 7 * _YEAR
    root = issue(seed, "SGX Root CA", None, begin=begin, valid=ca_life, path_length=1)
    pck_ca = issue(seed, "SGX PCK Platform CA", root, begin=begin, valid=ca_life, path_length=0)
    tcb_signing = issue(seed, "SGX TCB Signing", root, begin=begin, valid=leaf_life)
    extension = sgx_extension(seed)
    pck = issue(seed, "SGX PCK Certificate", pck_ca, begin=begin, valid=leaf_life, extension=extension)
    return Pki(root=root, pck_ca=pck_ca, tcb_signing=tcb_signing, pck=pck)


def build_crl(
    issuer: Authority, *, at: datetime, valid: timedelta, revoked: Sequence[x509.Certificate] = ()
) -> bytes:
    """Return the list of ``issuer`` in DER, current from one hour before ``at``; its number is that time."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at - timedelta(hours=1))
        .next_update(at + valid)
        .add_extension(x509.CRLNumber(int(at.timestamp())), critical=False)
        .add_extension(_key_identifier(issuer), critical=False)
    )
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(at - timedelta(hours=1)).build())
    crl = builder.sign(issuer.key, hashes.SHA256(), ecdsa_deterministic=True)
    return crl.public_bytes(_DER)


def issue(
    seed: bytes,
    phrase: str,
    issuer: Authority | None,
    *,
    begin: datetime,
    valid: timedelta,
    path_length: int | None = None,
    extension: bytes | None = None,
) -> Authority:
    """Issue a certificate with Intel's ``phrase``: self-signed without ``issuer``, a CA with a path length.

    ``extension`` is the value of the SGX extension. Equal arguments give equal bytes.
    """
    key = derive_key(seed, phrase)
    subject = _name(phrase)
    ca = path_length is not None
    public = key.public_key()
    issuer_key = key if issuer is None else issuer.key
    serial = (
        int.from_bytes(derive(seed, f"serial {phrase}", 20), "big") >> 1 | 1
    )  # RFC 5280: positive, 20 octets
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + valid)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(x509.CRLDistributionPoints([_distribution_point()]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_usage(ca=ca), critical=True)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    )
    if extension is not None:
        oid = x509.ObjectIdentifier(EXTENSION_OID)
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, extension), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)
    return Authority(key=key, certificate=certificate)


def _name(phrase: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, _PREFIX + phrase),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, SIMULATION_ORGANIZATION),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Nowhere"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "XX"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),
        ]
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _distribution_point() -> x509.DistributionPoint:
    return x509.DistributionPoint(
        full_name=[x509.UniformResourceIdentifier(_URI)], relative_name=None, reasons=None, crl_issuer=None
    )


def _key_identifier(issuer: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def sgx_extension(seed: bytes) -> bytes:
    """Return the value of the SGX extension: P = 1.2.840.113741.1.13.1 (5.2), members in Intel's order."""
    prefix = bytes.fromhex("2a864886f84d010d01")
    ppid = hashlib.sha256(b"softtee platform" + seed).digest()[:16]
    tcb = b"".join(_member(prefix + bytes([2, n]), _integer(svn)) for n, svn in enumerate(COMPONENTS, 1))
    tcb += _member(prefix + bytes([2, 17]), _integer(PCE_SVN))
    tcb += _member(prefix + bytes([2, 18]), der.encode(der.OCTET_STRING, bytes(COMPONENTS)))
    switches = (False, False, True)  # dynamic platform, cached keys, SMT enabled
    configuration = b"".join(
        _member(prefix + bytes([7, n]), der.encode(der.BOOLEAN, b"\xff" if on else b"\x00"))
        for n, on in enumerate(switches, 1)
    )
    members = (
        (1, der.encode(der.OCTET_STRING, ppid)),
        (2, der.encode(der.SEQUENCE, tcb)),
        (3, der.encode(der.OCTET_STRING, PCE_ID)),
        (4, der.encode(der.OCTET_STRING, FMSPC)),
        (5, der.encode(der.ENUMERATED, b"\x01")),  # scalable
        (6, der.encode(der.OCTET_STRING, derive(seed, "platform instance", 16))),
        (7, der.encode(der.SEQUENCE, configuration)),
    )
    return der.encode(der.SEQUENCE, b"".join(_member(prefix + bytes([n]), value) for n, value in members))


def _member(oid: bytes, value: bytes) -> bytes:
    return der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, oid) + value)


def _integer(value: int) -> bytes:
    return der.encode(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
