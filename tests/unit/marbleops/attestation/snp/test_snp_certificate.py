"""The readers of AMD's certificates accept the one form that AMD uses, and say what is different."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marbleops.attestation import der, limits
from marbleops.attestation.platform.softsnp import SoftSnp
from marbleops.attestation.snp.certificate import (
    ec_key,
    parse_certificate,
    parse_revocation_list,
    rsa_key,
)

FILES = SoftSnp(seed=bytes(32)).files(at=datetime(2026, 6, 1, tzinfo=UTC), revoked=("ASK",))
VCEK, CRL = FILES["vcek.der"], FILES["crl.der"]
TIME = der.encode(der.UTC_TIME, b"260601000000Z")
SHA256_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")


def put(document: bytes, *path: int, value: bytes | None) -> bytes:
    """Replace the element that lies there, or leave it out; nothing is signed again."""
    (outer,) = der.read_all(document)
    members = [one.encoding for one in der.read_all(outer.content)]
    index, *rest = path
    if rest:
        members[index] = put(members[index], *rest, value=value)
    else:
        members[index : index + 1] = [] if value is None else [value]
    return der.encode(outer.tag, b"".join(members))


def common_name(tag: int, text: bytes) -> bytes:
    return put(VCEK, 0, 5, 3, 0, 1, value=der.encode(tag, text))


def extensions(*members: str) -> bytes:
    content = b"".join(der.encode(der.SEQUENCE, bytes.fromhex(one)) for one in members)
    return put(VCEK, 0, 7, 0, value=der.encode(der.SEQUENCE, content))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (bytes(limits.MAX_SNP_CERTIFICATE_BYTES + 1), "longer than"),
        (put(VCEK, 2, value=None), "three members"),
        (put(VCEK, 0, 5, value=None), "has 7"),
        (put(VCEK, 0, value=b"\x30\0"), "too short"),
        (put(VCEK, 0, 0, 0, value=b"\2\1\1"), "version 3"),
        (put(VCEK, 0, 0, 0, value=b"\2\1\2\2\1\2"), "one member, found 2"),
        (put(VCEK, 0, 1, value=b"\2\1\x80"), "non-negative"),
        (put(VCEK, 1, value=SHA256_RSA), "RSASSA-PSS"),
        (put(VCEK, 0, 2, value=SHA256_RSA), "RSASSA-PSS"),
        (put(VCEK, 2, value=b"\3\2\1\0"), "whole number"),
        (put(VCEK, 0, 5, value=b"\x30\0"), "exactly one common name"),
        (common_name(der.IA5_STRING, b"SEV-VCEK"), "exactly one common name"),
        (common_name(der.UTF8_STRING, b"\xff"), "not utf-8"),
        (put(VCEK, 0, 4, 0, value=None), "two members, found 1"),
        (put(VCEK, 0, 4, 0, value=b"\2\1\0"), "expected a time"),
        (put(VCEK, 0, 4, 0, value=der.encode(der.UTC_TIME, b"260601000000+")), "whole seconds"),
        (put(VCEK, 0, 4, 0, value=der.encode(der.UTC_TIME, b"261301000000Z")), "not a time"),
        (put(VCEK, 0, 4, 0, value=der.encode(der.UTC_TIME, b"\xff" * 13)), "not ascii"),
        (extensions("0603551d0e"), "two or three members"),
        (extensions("0603551d0e0101000400"), "not critical"),
        (extensions("0603551d0e0400", "0603551d0e0400"), "twice"),
    ],
)
def test_a_certificate_of_another_form_is_refused(document: bytes, words: str) -> None:
    """Each with a sentence of its own."""
    with pytest.raises(der.DerError, match=words):
        parse_certificate(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (bytes(limits.MAX_SNP_CRL_BYTES + 1), "longer than"),
        (put(CRL, 0, 0, value=b"\2\1\0"), "version 2"),
        (put(CRL, 0, 6, value=b"\2\1\0"), "expected tag 0xa0"),
        (put(CRL, 0, 6, value=der.encode(der.CONTEXT, b"\x30\0") + b"\2\1\0"), "members follow"),
        (put(CRL, 0, 5, 0, 1, value=None), "serial number and a time"),
        (put(CRL, 0, 5, 0, 1, value=b"\5\0"), "expected a time"),
    ],
)
def test_a_list_of_another_form_is_refused(document: bytes, words: str) -> None:
    """The same, for revocation lists."""
    with pytest.raises(der.DerError, match=words):
        parse_revocation_list(document)


def test_times_and_criticality_are_read() -> None:
    """Both forms of time, both ends of two-digit years, and a list that narrows what it covers."""
    for tag, text, year in (
        (der.GENERALIZED_TIME, b"20600101000000Z", 2060),
        (der.UTC_TIME, b"490101000000Z", 2049),
        (der.UTC_TIME, b"500101000000Z", 1950),
    ):
        changed = put(VCEK, 0, 4, 1, value=der.encode(tag, text))
        assert parse_certificate(changed).not_after == datetime(year, 1, 1, tzinfo=UTC)
    indicator = bytes.fromhex("300c0603551d1b0101ff0402" + "0500")
    narrowed = put(CRL, 0, 6, 0, value=der.encode(der.SEQUENCE, indicator))
    assert parse_revocation_list(narrowed).critical
    assert not parse_revocation_list(put(CRL, 0, 6, value=None)).critical


def test_keys_are_of_their_kind() -> None:
    """RSA-4096 for authorities, P-384 for reports, and readable."""
    leaf, root = parse_certificate(VCEK), parse_certificate(FILES["ark.der"])
    with pytest.raises(der.DerError, match="not RSA"):
        rsa_key(leaf)
    with pytest.raises(der.DerError, match="P-384"):
        ec_key(root)
    with pytest.raises(der.DerError, match="unreadable"):
        ec_key(parse_certificate(put(VCEK, 0, 6, value=b"\x30\0")))
