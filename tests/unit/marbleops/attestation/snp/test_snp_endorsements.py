"""Certificates and revocation lists as AMD hands them out: files in PEM or DER, the table of the guest."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from marbleops.attestation import der, limits
from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.platform.softsnp import SoftSnp
from marbleops.attestation.snp.certificate import parse_certificate, parse_revocation_list
from marbleops.attestation.snp.endorsements import (
    ARK_GUID,
    ASK_GUID,
    CRL_GUID,
    VCEK_GUID,
    SnpEndorsements,
    write_table,
)

FILES = SoftSnp(seed=bytes(32)).files(at=datetime(2026, 6, 1, tzinfo=UTC), revoked=("ASK",))
PARSED = SnpEndorsements.from_files(FILES)
VCEK, ASK, ARK, CRL = (FILES[name] for name in ("vcek.der", "ask.der", "ark.der", "crl.der"))
TABLE = write_table(((VCEK_GUID, VCEK), (ASK_GUID, ASK), (ARK_GUID, ARK), (CRL_GUID, CRL)))


def pem(kind: str, document: bytes) -> bytes:
    body = base64.encodebytes(document).decode()
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n".encode()


def test_files_are_read_whatever_they_are_called() -> None:
    """PEM with several, DER with zeros behind, duplicates, and files of another kind."""
    files = {
        "chain": pem("CERTIFICATE", ASK) + b"\n" + pem("CERTIFICATE", ARK),
        "leaf.testcer": VCEK + b"\0\0",
        "again.der": ASK,
        "list.crl": pem("X509 CRL", CRL),
        "report.bin": b"\2" + bytes(1183),
        "README.md": b"# text",
        "evidence.json": b'{"vcek": "-----BEGIN CERTIFICATE-----..."}',
    }
    endorsements = SnpEndorsements.from_files(files)

    assert {one.encoding for one in endorsements.certificates} == {VCEK, ASK, ARK}
    assert [one.serials for one in endorsements.revocation_lists] == [frozenset({0x1000002})]
    assert {one.serial for one in endorsements.certificates} == {0, 0x1000001, 0x1000002}


def test_the_table_of_the_guest_is_read() -> None:
    """By its identifiers; one that is not known is passed over."""
    stranger = write_table(((ARK_GUID, ARK), (VCEK_GUID, VCEK))).replace(VCEK_GUID.bytes, b"?" * 16)

    assert set(SnpEndorsements.from_table(TABLE).certificates) == set(PARSED.certificates)
    assert SnpEndorsements.from_table(TABLE).revocation_lists == PARSED.revocation_lists
    assert [one.encoding for one in SnpEndorsements.from_table(stranger).certificates] == [ARK]
    assert SnpEndorsements.from_table(bytes(24)).certificates == ()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "no end"),
        (TABLE[:-1], "outside"),
        (TABLE[:24], "outside"),
        (b"\1" * 24 * 33, "outside"),
        (write_table(((VCEK_GUID, b"\x30\x00"),)), "not a certificate"),
        ((b"\1" * 16 + bytes(8)) * 33, "more than 32"),
        (bytes(limits.MAX_SNP_TABLE_BYTES + 1), "longer than"),
    ],
)
def test_a_bad_table_is_refused(table: bytes, words: str) -> None:
    """Nothing is read past its end, and it ends."""
    with pytest.raises(CollateralError, match=words):
        SnpEndorsements.from_table(table)


@pytest.mark.parametrize(
    "content",
    [
        VCEK + b"\1",
        VCEK[:-1],
        b"\x30\x00",
        b"\x30\x02\x30\x00",
        pem("RSA PRIVATE KEY", b"1"),
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----",
        der.encode(der.SEQUENCE, bytes(limits.MAX_SNP_CERTIFICATE_BYTES)),
    ],
)
def test_a_file_that_begins_as_one_and_is_none_is_named(content: bytes) -> None:
    """The operator learns which file to look at."""
    with pytest.raises(CollateralError, match=r"^broken: "):
        SnpEndorsements.from_files({"broken": content})


def test_too_many_are_refused() -> None:
    """Parsing is bounded."""
    changed = {str(n): VCEK[:-1] + bytes([n]) for n in range(limits.MAX_SNP_CERTIFICATES + 1)}
    with pytest.raises(CollateralError, match="more than 32"):
        SnpEndorsements.from_files(changed)


def test_cuts_and_changes_are_der_errors_or_values() -> None:
    """The readers raise nothing else."""
    for read, document in ((parse_certificate, VCEK), (parse_revocation_list, CRL)):
        for at in range(0, len(document), 29):
            for raw in (document[:at], document[:at] + bytes([document[at] ^ 0x21]) + document[at + 1 :]):
                try:
                    read(raw)
                except der.DerError:
                    continue
