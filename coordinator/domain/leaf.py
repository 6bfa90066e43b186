"""A marble's leaf certificate: a key of our own, the names that the CSR asks for (marblerun-core 3, 4.4).

It is made for every activation, so it is written by ``certificate_encoding`` rather than with the builder of
``cryptography``, which takes twice as long.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coordinator.domain import pki
from coordinator.domain.certificate_encoding import Contents, encode_certificate
from coordinator.errors import ActivationFailedError
from marbleops.manifest.certificate_template import CertificateTemplate, Extension, Subject

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.domain.making import Random

MAX_CSR_BYTES = 64 * 1024
_DIGITAL_SIGNATURE_AND_KEY_AGREEMENT: Final = 1 << 0 | 1 << 4
_SERVER_AND_CLIENT: Final = ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")
_WHERE: Final = "generating marble authentication secrets"


def issue_leaf(
    authorities: pki.Authorities, *, csr: bytes, uuid: str, marble_type: str, at: datetime, random: Random
) -> pki.KeyPair:
    """Issue a marble's certificate with a key of our own; the CSR only asks for names.

    The key comes from OpenSSL's own generator, as RSA keys do: it computes the public half once, where making
    it from a scalar of *random* computes it twice, and this is the dearest thing an activation needs.

    Raises:
        ActivationFailedError: the CSR cannot be read or is not signed by its own key.
    """
    request = _parse_csr(csr)
    dns_names, ip_addresses = _requested_names(request)
    issuer = authorities.marble_root
    key = ec.generate_private_key(ec.SECP384R1())
    begin = at.replace(microsecond=0)
    contents = Contents(
        template=CertificateTemplate(
            subject=_subject(request.subject, uuid, issuer.marking),
            key_usage=_DIGITAL_SIGNATURE_AND_KEY_AGREEMENT,
            ext_key_usage=_SERVER_AND_CLIENT,
            dns_names=dns_names,
            ip_addresses=ip_addresses,
            extra_extensions=(
                Extension(oid=pki.MARBLE_TYPE_OID.dotted_string, critical=False, value=marble_type.encode()),
            ),
        ),
        serial=pki.new_serial(random),
        not_before=begin,
        not_after=begin + pki.FOREVER,
        spki=pki.encode_public(key.public_key()),
        marking=None,  # it is the subject's organization already
    )
    return pki.KeyPair(
        key=key, certificate=x509.load_der_x509_certificate(encode_certificate(contents, issuer))
    )


def _parse_csr(csr: bytes) -> x509.CertificateSigningRequest:
    if len(csr) > MAX_CSR_BYTES:
        raise ActivationFailedError(f"{_WHERE}: the CSR is too large")
    try:
        request = x509.load_der_x509_csr(csr)
        _ = request.subject  # read here, where what cannot be read is a refusal
        valid = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ActivationFailedError(f"{_WHERE}: parsing CSR: malformed") from error
    if not valid:
        raise ActivationFailedError(f"{_WHERE}: signature over CSR is invalid")
    return request


def _subject(requested: x509.Name, uuid: str, marking: str | None) -> Subject:
    """Return the CSR's subject; its Organization is the issuer's, its common name the UUID.

    Of serial numbers the last counts, as in Go.
    """
    asked: dict[x509.ObjectIdentifier, list[str]] = {}
    for attribute in requested:
        asked.setdefault(attribute.oid, []).append(str(attribute.value))

    def values(identifier: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(dict.fromkeys(asked.get(identifier, ())))

    return Subject(
        country=values(NameOID.COUNTRY_NAME),
        province=values(NameOID.STATE_OR_PROVINCE_NAME),
        locality=values(NameOID.LOCALITY_NAME),
        street_address=values(NameOID.STREET_ADDRESS),
        postal_code=values(NameOID.POSTAL_CODE),
        organization=() if marking is None else (marking,),
        organizational_unit=values(NameOID.ORGANIZATIONAL_UNIT_NAME),
        common_name=uuid,
        serial_number=asked.get(NameOID.SERIAL_NUMBER, [""])[-1],
    )


def _requested_names(
    request: x509.CertificateSigningRequest,
) -> tuple[tuple[str, ...], tuple[IPv4Address | IPv6Address, ...]]:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    except (ValueError, KeyError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ActivationFailedError(f"{_WHERE}: parsing CSR: bad names") from error
    addresses = []
    for address in names.get_values_for_type(x509.IPAddress):
        if not isinstance(address, IPv4Address | IPv6Address):  # eight or 32 bytes are read as a network
            raise ActivationFailedError(f"{_WHERE}: parsing CSR: bad names")
        addresses.append(address)
    return tuple(names.get_values_for_type(x509.DNSName)), tuple(addresses)
