"""AMD's certificates and revocation lists, read with our own DER reader (attestation.md 1.4, RFC 5280).

VCEK and VLEK certificates have the serial number 0, which ``cryptography`` announces to refuse. So only keys
and signatures are left to it; the little of X.509 that AMD uses is read here, and nothing else is accepted:
version 3, RSASSA-PSS with SHA-384 and a salt of 48 bytes, no unique identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from marbleops.attestation import der, limits

if TYPE_CHECKING:
    from collections.abc import Sequence

RSA_BITS: Final = 4096
COMMON_NAME: Final = bytes.fromhex("550403")
_RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
_MGF1 = bytes.fromhex("2a864886f70d010108")
_SHA384 = bytes.fromhex("608648016503040202")
_TIME_DIGITS = {der.UTC_TIME: 12, der.GENERALIZED_TIME: 14}
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)


def _sequence(*parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, b"".join(parts))


def _pss_identifier(*trailer: bytes) -> bytes:
    # RFC 4055, 3.1: hash, mask generation with the same hash, salt length; then the trailer, 1 by default.
    sha384 = _sequence(der.encode(der.OBJECT_IDENTIFIER, _SHA384), der.encode(der.NULL, b""))
    mask = _sequence(der.encode(der.OBJECT_IDENTIFIER, _MGF1), sha384)
    members = (sha384, mask, der.encode(der.INTEGER, b"\x30"), *trailer)
    tagged = (der.encode(der.CONTEXT + number, member) for number, member in enumerate(members))
    return _sequence(der.encode(der.OBJECT_IDENTIFIER, _RSASSA_PSS), _sequence(*tagged))


SIGNATURE_ALGORITHM: Final = _pss_identifier()
# AMD's older certificates spell the default trailer out, which DER forbids.
_SIGNATURE_ALGORITHMS = (SIGNATURE_ALGORITHM, _pss_identifier(der.encode(der.INTEGER, b"\x01")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """An extension of a certificate, its value not yet interpreted."""

    oid: bytes
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What certificates and lists have in common: the bytes that are signed, by whom, and the signature."""

    encoding: bytes
    tbs: bytes
    signature: bytes
    issuer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate(Signed):
    """A certificate. Names are kept as encoded, to be compared byte by byte."""

    serial: int
    issuer_name: str
    subject: bytes
    common_name: str
    not_before: datetime
    not_after: datetime
    public_key: bytes
    extensions: tuple[Extension, ...]

    def extension(self, oid: bytes) -> Extension | None:
        """Return the extension with that identifier."""
        return next((one for one in self.extensions if one.oid == oid), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList(Signed):
    """A complete list: what its issuer has revoked, and for how long the list is the newest."""

    this_update: datetime
    next_update: datetime
    serials: frozenset[int]
    critical: bool


def parse_certificate(data: bytes) -> Certificate:
    """Parse a certificate in DER; raises ``der.DerError``."""
    if len(data) > limits.MAX_SNP_CERTIFICATE_BYTES:
        raise der.DerError(f"certificate is longer than {limits.MAX_SNP_CERTIFICATE_BYTES} bytes")
    tbs, signature, members = _signed(data, 2)
    if len(members) != 8:
        raise der.DerError(f"a certificate has 8 members, this one has {len(members)}")
    version, serial, _, issuer, validity, subject, key, extensions = members
    if der.unsigned(_only(der.expect(version, der.CONTEXT))) != 2:
        raise der.DerError("not an X.509 certificate of version 3")
    begin, end = _pair(der.expect(validity, der.SEQUENCE))
    der.expect(key, der.SEQUENCE)
    return Certificate(
        encoding=data,
        tbs=tbs,
        signature=signature,
        serial=der.unsigned(serial),
        issuer=issuer.encoding,
        issuer_name=common_name(issuer.encoding),
        subject=subject.encoding,
        common_name=common_name(subject.encoding),
        not_before=_time(begin),
        not_after=_time(end),
        public_key=key.encoding,
        extensions=_extensions(der.expect(extensions, der.CONTEXT + 3)),
    )


def parse_revocation_list(data: bytes) -> RevocationList:
    """Parse a list of version 2 in DER; raises ``der.DerError``."""
    if len(data) > limits.MAX_SNP_CRL_BYTES:
        raise der.DerError(f"revocation list is longer than {limits.MAX_SNP_CRL_BYTES} bytes")
    tbs, signature, members = _signed(data, 1)
    if len(members) < 5 or der.unsigned(members[0]) != 1:
        raise der.DerError("not a revocation list of version 2 with a next update")
    rest = members[5:]
    revoked = der.read_all(rest.pop(0).content) if rest and rest[0].tag == der.SEQUENCE else ()
    extensions = _extensions(der.expect(rest.pop(0), der.CONTEXT)) if rest else ()
    if rest:
        raise der.DerError("members follow the extensions of a revocation list")
    return RevocationList(
        encoding=data,
        tbs=tbs,
        signature=signature,
        issuer=members[2].encoding,
        this_update=_time(members[3]),
        next_update=_time(members[4]),
        serials=frozenset(_revoked(entry) for entry in revoked),
        critical=any(extension.critical for extension in extensions),
    )


def common_name(name: bytes) -> str:
    """Return the one common name of an encoded name; raises ``der.DerError``."""
    found = []
    for relative in der.read_all(der.read_one(name, der.SEQUENCE)):
        for attribute in der.read_all(der.expect(relative, der.SET)):
            oid, value = _pair(der.expect(attribute, der.SEQUENCE))
            if der.expect(oid, der.OBJECT_IDENTIFIER) == COMMON_NAME:
                found.append(value)
    if len(found) != 1 or found[0].tag not in (der.UTF8_STRING, der.PRINTABLE_STRING):
        raise der.DerError("a name needs exactly one common name in UTF-8")
    return _text(found[0].content, "utf-8")


def signed_by(document: Signed, issuer: Certificate) -> bool:
    """Say whether the key of ``issuer`` signed; raises ``der.DerError`` where it is no RSA-4096 key."""
    try:
        rsa_key(issuer).verify(document.signature, document.tbs, _PSS, hashes.SHA384())
    except InvalidSignature:
        return False
    return True


def rsa_key(certificate: Certificate) -> rsa.RSAPublicKey:
    """Return the RSA-4096 key of an authority; raises ``der.DerError``."""
    key = _load(certificate)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != RSA_BITS:
        raise der.DerError(f"key of {certificate.common_name} is not RSA with {RSA_BITS} bits")
    return key


def ec_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    """Return the P-384 key that signs reports; raises ``der.DerError``."""
    key = _load(certificate)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise der.DerError(f"key of {certificate.common_name} is not on P-384")
    return key


def _load(certificate: Certificate) -> object:
    try:
        return serialization.load_der_public_key(certificate.public_key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise der.DerError(f"key of {certificate.common_name} is unreadable: {error}") from error


def _signed(data: bytes, index: int) -> tuple[bytes, bytes, list[der.Element]]:
    """Return what is signed, the signature, and the members; ``index`` is where the algorithm is repeated."""
    members = der.read_all(der.read_one(data, der.SEQUENCE))
    if len(members) != 3:
        raise der.DerError("not a signed document of three members")
    tbs, algorithm, signature = members
    inner = der.read_all(der.expect(tbs, der.SEQUENCE))
    # RFC 5280, 4.1.1.2: the algorithm is said twice, outside and inside of what is signed.
    if len(inner) <= index:
        raise der.DerError("what is signed is too short")
    _check_algorithm(algorithm, inner[index])
    bits = der.expect(signature, der.BIT_STRING)
    if bits[:1] != b"\0":
        raise der.DerError("signature is not a whole number of bytes")
    return tbs.encoding, bits[1:], list(inner)


def _check_algorithm(outer: der.Element, inner: der.Element) -> None:
    if outer.encoding not in _SIGNATURE_ALGORITHMS or outer != inner:
        raise der.DerError("signature algorithm is not RSASSA-PSS with SHA-384 and a salt of 48 bytes")


def _extensions(content: bytes) -> tuple[Extension, ...]:
    extensions = []
    for entry in der.read_all(der.read_one(content, der.SEQUENCE)):
        members = list(der.read_all(der.expect(entry, der.SEQUENCE)))
        if not 2 <= len(members) <= 3:
            raise der.DerError("an extension has two or three members")
        critical = len(members) == 3 and der.boolean(members[1])
        if len(members) == 3 and not critical:
            raise der.DerError("an extension spells out that it is not critical")
        oid = der.expect(members[0], der.OBJECT_IDENTIFIER)
        extensions.append(
            Extension(oid=oid, critical=critical, value=der.expect(members[-1], der.OCTET_STRING))
        )
    if len({extension.oid for extension in extensions}) != len(extensions):
        raise der.DerError("an extension occurs twice")
    return tuple(extensions)


def _revoked(entry: der.Element) -> int:
    members = der.read_all(der.expect(entry, der.SEQUENCE))
    if not 2 <= len(members) <= 3:
        raise der.DerError("a revoked certificate has a serial number and a time")
    _time(members[1])
    return der.unsigned(members[0])


def _time(element: der.Element) -> datetime:
    if element.tag not in _TIME_DIGITS:
        raise der.DerError(f"expected a time, found tag 0x{element.tag:02x}")
    text = _text(element.content, "ascii")
    digits, zone = text[:-1], text[-1:]
    if zone != "Z" or len(digits) != _TIME_DIGITS[element.tag] or not digits.isdigit():
        raise der.DerError("a time is not in whole seconds of UTC")
    if element.tag == der.UTC_TIME:  # RFC 5280, 4.1.2.5.1: two digits mean 1950 to 2049
        digits = ("20" if digits < "5" else "19") + digits
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise der.DerError(f"not a time: {error}") from error


def _text(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise der.DerError(f"text is not {encoding}") from error


def _only(content: bytes) -> der.Element:
    members = der.read_all(content)
    if len(members) != 1:
        raise der.DerError(f"expected one member, found {len(members)}")
    return members[0]


def _pair(content: bytes) -> Sequence[der.Element]:
    members = der.read_all(content)
    if len(members) != 2:
        raise der.DerError(f"expected two members, found {len(members)}")
    return members
