"""From ``Secret.Cert`` to a ``CertificateTemplate``: an object of Go's field names, or a certificate in DER.

The object's names and types are already ruled by the manifest's schema; what a type cannot say (a date, an
address, an object identifier) is read here as Go reads it (marblerun-core 1.7; measured with Go 1.26).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from marbleops.manifest.build import decode_base64
from marbleops.manifest.certificate_der import EXT_KEY_USAGES, read_certificate
from marbleops.manifest.certificate_template import (
    CertificateTemplate,
    CertificateTemplateError,
    Extension,
    Subject,
    Subtrees,
)
from marbleops.manifest.position import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.manifest.position import JsonPath

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d+)?(?:Z|([+-])([01]\d|2[0-4]):([0-5]\d|60))", re.ASCII
)
_UNSET_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_HOST_SAFE: Final = "!$&'()*+,;=:[]<>\""
_PATH_SAFE: Final = "$&+,/:;=@"
_FRAGMENT_SAFE: Final = "!'()*$&+,/:;=?@"
_ENCODED_PATH: Final = re.compile(r"(?:[A-Za-z0-9\-_.~!$&'()*+,/:;=@\[\]]|%[0-9A-Fa-f]{2})*", re.ASCII)


def read_template(value: Any) -> CertificateTemplate:
    """Read the field ``Cert`` of a secret; ``None`` is the empty template.

    Raises:
        CertificateTemplateError: a text that is no certificate, or a member that Go's decoder refuses.
    """
    if value is None:
        return CertificateTemplate()
    if isinstance(value, str):
        return _read_text(value)
    return CertificateTemplate(
        subject=_subject(value.get("Subject", {})),
        not_after=_time(value.get("NotAfter")),
        key_usage=value.get("KeyUsage", 0),
        ext_key_usage=_usages(value),
        unknown_ext_key_usage=_oids(value, "UnknownExtKeyUsage"),
        is_ca=value.get("IsCA", False),
        max_path_len=_max_path_len(value),
        subject_key_id=_bytes(value, "SubjectKeyId"),
        authority_key_id=_bytes(value, "AuthorityKeyId"),
        dns_names=tuple(value["DNSNames"]) if "DNSNames" in value else None,
        email_addresses=tuple(value.get("EmailAddresses", ())),
        ip_addresses=_addresses(value),
        uris=tuple(join_uri(parts) for parts in value.get("URIs", ())),
        ocsp_servers=tuple(value.get("OCSPServer", ())),
        issuing_certificate_urls=tuple(value.get("IssuingCertificateURL", ())),
        crl_distribution_points=tuple(value.get("CRLDistributionPoints", ())),
        policy_identifiers=_oids(value, "PolicyIdentifiers"),
        name_constraints_critical=value.get("PermittedDNSDomainsCritical", False),
        permitted=_subtrees(value, "Permitted"),
        excluded=_subtrees(value, "Excluded"),
        signature_algorithm=value.get("SignatureAlgorithm", 0),
        extra_extensions=_extensions(value),
    )


def join_uri(parts: Mapping[str, str]) -> str:
    """Write the members of Go's ``url.URL`` as one text, escaped as ``URL.String`` does."""
    scheme, host, path = parts.get("Scheme", ""), parts.get("Host", ""), _escaped_path(parts)
    written = f"{scheme}:" if scheme else ""
    if parts.get("Opaque"):
        written += parts["Opaque"]
    else:
        if host or (scheme and path.startswith("/")):
            written += "//" + quote(host, safe=_HOST_SAFE)
        if host and path and not path.startswith("/"):
            written += "/"
        if not written and ":" in path.split("/", 1)[0]:
            written += "./"
        written += path
    if parts.get("RawQuery"):
        written += "?" + parts["RawQuery"]
    if parts.get("Fragment"):
        written += "#" + quote(parts["Fragment"], safe=_FRAGMENT_SAFE)
    return written


def _escaped_path(parts: Mapping[str, str]) -> str:
    """Take ``RawPath`` where it is an encoding of ``Path``, as Go does, and escape ``Path`` otherwise."""
    path, raw = parts.get("Path", ""), parts.get("RawPath", "")
    if raw and _ENCODED_PATH.fullmatch(raw) and unquote(raw) == path:
        return raw
    return path if path == "*" else quote(path, safe=_PATH_SAFE)


def _read_text(text: str) -> CertificateTemplate:
    """Read a finished certificate. MarbleRun passes over text that is not base64: that would lose it."""
    try:
        return read_certificate(decode_base64(text))
    except ValueError as error:
        raise CertificateTemplateError("malformed certificate: not base64 of a certificate in DER") from error


def _subject(value: Mapping[str, Any]) -> Subject:
    return Subject(
        country=tuple(value.get("Country", ())),
        province=tuple(value.get("Province", ())),
        locality=tuple(value.get("Locality", ())),
        street_address=tuple(value.get("StreetAddress", ())),
        postal_code=tuple(value.get("PostalCode", ())),
        organization=tuple(value.get("Organization", ())),
        organizational_unit=tuple(value.get("OrganizationalUnit", ())),
        common_name=value.get("CommonName", ""),
        serial_number=value.get("SerialNumber", ""),
        extra_names=tuple(
            _extra_name(name, ("Subject", "ExtraNames", index))
            for index, name in enumerate(value.get("ExtraNames", ()))
        ),
    )


def _extra_name(value: Mapping[str, Any], path: JsonPath) -> tuple[str, str]:
    text = value.get("Value")
    if not isinstance(text, str):
        raise CertificateTemplateError("the value of an attribute is a text", (*path, "Value"))
    return _oid(value.get("Type", []), (*path, "Type")), text


def _time(text: str | None) -> datetime | None:
    """Read RFC 3339 as Go does; its zero time means *not said*. Fractions of a second are dropped."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        local = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
        ahead = timedelta(hours=int(match[3] or 0), minutes=int(match[4] or 0))
        read = local + ahead if match[2] == "-" else local - ahead
    except (ValueError, OverflowError) as error:
        message = "not a time of RFC 3339 such as 2030-01-01T00:00:00Z"
        raise CertificateTemplateError(message, ("NotAfter",)) from error
    return None if read == _UNSET_TIME else read


def _usages(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "ExtKeyUsage" not in value:
        return None
    return tuple(EXT_KEY_USAGES[number] for number in value["ExtKeyUsage"])


def _max_path_len(value: Mapping[str, Any]) -> int | None:
    """Read the limit: 0 counts only with ``MaxPathLenZero``, and -1 is none."""
    length: int = value.get("MaxPathLen", 0)
    unlimited = length < 0 or (length == 0 and not value.get("MaxPathLenZero", False))
    return None if unlimited else length


def _addresses(value: Mapping[str, Any]) -> tuple[IPv4Address | IPv6Address, ...] | None:
    if "IPAddresses" not in value:
        return None
    return tuple(_address(text, ("IPAddresses", index)) for index, text in enumerate(value["IPAddresses"]))


def _address(text: str, path: JsonPath) -> IPv4Address | IPv6Address:
    """Read an address as ``net.ParseIP``: without a zone, and IPv4 in IPv6's clothes is IPv4."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise CertificateTemplateError(f"invalid IP address: {shown(text)}", path) from error
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise CertificateTemplateError(f"invalid IP address: {shown(text)}", path)
        return address.ipv4_mapped or address
    return address


def _subtrees(value: Mapping[str, Any], kind: str) -> Subtrees:
    networks = value.get(f"{kind}IPRanges", ())
    return Subtrees(
        dns_domains=tuple(value.get(f"{kind}DNSDomains", ())),
        ip_ranges=tuple(_network(each, (f"{kind}IPRanges", index)) for index, each in enumerate(networks)),
        email_addresses=tuple(value.get(f"{kind}EmailAddresses", ())),
        uri_domains=tuple(value.get(f"{kind}URIDomains", ())),
    )


def _network(value: Mapping[str, Any], path: JsonPath) -> IPv4Network | IPv6Network:
    address = _address(value.get("IP", ""), (*path, "IP"))
    mask = _bytes(value, "Mask", path)
    bits = "".join(f"{byte:08b}" for byte in mask)
    if len(mask) != len(address.packed) or "01" in bits:
        raise CertificateTemplateError("IP constraint contained invalid mask", (*path, "Mask"))
    return ip_network((address, bits.count("1")), strict=False)


def _extensions(value: Mapping[str, Any]) -> tuple[Extension, ...]:
    read = []
    for index, each in enumerate(value.get("ExtraExtensions", ())):
        path: JsonPath = ("ExtraExtensions", index)
        oid = _oid(each.get("Id", []), (*path, "Id"))
        content = _bytes(each, "Value", path)
        read.append(Extension(oid=oid, critical=each.get("Critical", False), value=content))
    return tuple(read)


def _oids(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(_oid(numbers, (name, index)) for index, numbers in enumerate(value.get(name, ())))


def _oid(numbers: list[int], path: JsonPath) -> str:
    """Write an object identifier with dots. Its first two numbers are bounded (X.660)."""
    if len(numbers) < 2 or numbers[0] > 2 or (numbers[0] < 2 and numbers[1] > 39):
        raise CertificateTemplateError("invalid object identifier", path)
    return ".".join(str(number) for number in numbers)


def _bytes(value: Mapping[str, Any], name: str, path: JsonPath = ()) -> bytes:
    content = value.get(name, "")
    try:
        return bytes(content) if isinstance(content, list) else decode_base64(content)
    except ValueError as error:
        raise CertificateTemplateError("the content is not base64", (*path, name)) from error
