"""The Coordinator's certificates: root, intermediate and marble root; ``leaf`` has those of marbles.

The profiles of marblerun-core section 3, exactly: P-384 with SHA-384 throughout, the order of extensions, key
identifiers of SHA-256 cut to 20 bytes, an intermediate and a marble root that share key and subject and so
form one cross-signed authority, and a validity that ends with Go's longest duration. Time and randomness are
arguments.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from marbleops.attestation.der import SEQUENCE, read_all, read_one

if TYPE_CHECKING:
    from coordinator.domain.making import Random

ROOT_NAME = "MarbleRun Coordinator"
INTERMEDIATE_NAME = "MarbleRun Coordinator - Intermediate CA"
MARBLE_TYPE_OID = x509.ObjectIdentifier("1.3.9903.2.1")
FOREVER = timedelta(seconds=(2**63 - 1) // 10**9)

_SPARE_BITS = 128
"""Random bits beyond the order of a curve, so that the bias of a scalar is negligible."""


@dataclass(frozen=True, kw_only=True)  # without slots, so that encodings are made once: marbles ask for them
class KeyPair:
    """A P-384 private key and a certificate over its public half. The key is not in the repr."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @cached_property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return pem("CERTIFICATE", self.certificate_der)

    @cached_property
    def certificate_der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def key_pkcs8(self) -> bytes:
        """The private key as PKCS#8 DER."""
        return self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @cached_property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8 PEM."""
        return pem("PRIVATE KEY", self.key_pkcs8)

    @cached_property
    def spki(self) -> bytes:
        """The public key as SubjectPublicKeyInfo DER."""
        return encode_public(self.key.public_key())

    @cached_property
    def identifier(self) -> bytes:
        """The key identifier that certificates issued by this pair name."""
        return key_identifier(self.spki)

    @cached_property
    def subject(self) -> bytes:
        """The certificate's subject in DER."""
        return self.certificate.subject.public_bytes()

    @cached_property
    def marking(self) -> str | None:
        """The organization that marks everything below an insecure platform."""
        return marking_of(self.certificate)

    @classmethod
    def load(cls, *, key_pkcs8: bytes, certificate_der: bytes) -> KeyPair:
        """Read a pair back.

        Raises:
            ValueError: not a P-384 key, not a certificate, or the two do not belong together.
        """
        key = serialization.load_der_private_key(key_pkcs8, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
            raise ValueError("not a P-384 private key")  # noqa: TRY004 - the value is wrong, whatever its class
        certificate = x509.load_der_x509_certificate(certificate_der)
        if encode_public(certificate.public_key()) != encode_public(key.public_key()):
            raise ValueError("the certificate is not for this key")
        return cls(key=key, certificate=certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """The certificates of one deployment at one time; ``marble_root`` has the intermediate's key."""

    root: KeyPair
    intermediate: KeyPair
    marble_root: KeyPair

    @property
    def chain_pem(self) -> str:
        """Intermediate and root, as ``GET quote`` gives them."""
        return (self.intermediate.certificate_pem + self.root.certificate_pem).decode()


def create_root(
    *, names: tuple[str, ...], at: datetime, random: Random, marking: str | None = None
) -> KeyPair:
    """Make the root: the identity of the deployment, which no update changes.

    A *marking*, as an insecure platform has one, becomes the organization of the root and of everything that
    is issued below it, so that whoever looks at any certificate sees it.
    """
    key = new_key(ec.SECP384R1(), random)
    subject = _subject(ROOT_NAME, marking)
    certificate = _authority(subject, names, at, random, subject_key=key, issuer=None)
    return KeyPair(key=key, certificate=certificate)


def renew(root: KeyPair, *, names: tuple[str, ...], at: datetime, random: Random) -> Authorities:
    """Make a new intermediate under *root* and the marble root of the same key (section 3, Rotation)."""
    key = new_key(ec.SECP384R1(), random)
    subject = _subject(INTERMEDIATE_NAME, marking_of(root.certificate))
    intermediate = _authority(subject, names, at, random, subject_key=key, issuer=root)
    marble_root = _authority(subject, names, at, random, subject_key=key, issuer=None)
    return Authorities(
        root=root,
        intermediate=KeyPair(key=key, certificate=intermediate),
        marble_root=KeyPair(key=key, certificate=marble_root),
    )


def marking_of(certificate: x509.Certificate) -> str | None:
    """Return the organization that marks a certificate as one of an insecure platform, if there is one."""
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else None


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return a certificate's names as ``EDG_COORDINATOR_DNS_NAMES`` lists them."""
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in sans.get_values_for_type(x509.IPAddress)]
    return (
        *sans.get_values_for_type(x509.DNSName),
        *(a for a in addresses if a not in {"127.0.0.1", "::1"}),
    )


def key_identifier(spki: bytes) -> bytes:
    """SHA-256 over the content of the key's BIT STRING, cut to 20 bytes: what Go has done since 1.25."""
    _, key = read_all(read_one(spki, SEQUENCE))
    return hashlib.sha256(key.content[1:]).digest()[:20]


def new_key(curve: ec.EllipticCurve, random: Random) -> ec.EllipticCurvePrivateKey:
    """Make a key of *curve*."""
    length = (curve.key_size + _SPARE_BITS + 7) // 8
    scalar = int.from_bytes(random(length), "big") % (curve.group_order - 1) + 1
    return ec.derive_private_key(scalar, curve)


def new_serial(random: Random) -> int:
    """Draw a serial number below 2^128, never 0."""
    return max(1, int.from_bytes(random(16), "big"))


def encode_public(key: object) -> bytes:
    """Write a public key as SubjectPublicKeyInfo DER."""
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(label: str, der: bytes) -> bytes:
    """Write DER as PEM, in lines of 64 characters, whatever it holds."""
    body = base64.b64encode(der).decode()
    lines = [body[index : index + 64] for index in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def sign(pair: KeyPair, message: bytes, *, algorithm: hashes.HashAlgorithm) -> bytes:
    """Sign *message* with ECDSA; DER."""
    return pair.key.sign(message, ec.ECDSA(algorithm))


_EXTENDED_USAGE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


def _subject(common_name: str, marking: str | None) -> x509.Name:
    organization = [] if marking is None else [x509.NameAttribute(NameOID.ORGANIZATION_NAME, marking)]
    return x509.Name([*organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _authority(
    subject: x509.Name,
    names: tuple[str, ...],
    at: datetime,
    random: Random,
    *,
    subject_key: ec.EllipticCurvePrivateKey,
    issuer: KeyPair | None,
) -> x509.Certificate:
    issuer_name = subject if issuer is None else issuer.certificate.subject
    builder = _builder(subject, issuer_name, subject_key, at, random)
    builder = builder.add_extension(_AUTHORITY_USAGE, critical=True)
    builder = builder.add_extension(_EXTENDED_USAGE, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier(key_identifier(encode_public(subject_key.public_key()))), critical=False
    )
    if issuer is not None:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier(issuer.identifier, None, None), critical=False
        )
    builder = builder.add_extension(x509.SubjectAlternativeName(_own_names(names)), critical=False)
    return builder.sign(subject_key if issuer is None else issuer.key, hashes.SHA384())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime, random: Random
) -> x509.CertificateBuilder:
    begin = at.replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(new_serial(random))
        .not_valid_before(begin)
        .not_valid_after(begin + FOREVER)
    )


_AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _own_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    """DNS names in order, then 127.0.0.1 and ::1, then the other addresses of the list (section 3)."""
    dns: list[x509.GeneralName] = []
    addresses: list[x509.GeneralName] = []
    for name in names:
        try:
            addresses.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            dns.append(x509.DNSName(name))
    local = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    return [*dns, *local, *(a for a in addresses if a not in local)]
