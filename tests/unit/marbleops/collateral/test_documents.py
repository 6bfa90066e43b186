"""What a document is called, what it says of itself, and that its signed text is cut out to the byte."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.platform.softpcs import SoftPcs
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.report import ProductLine
from marbleops.attestation.verdict import Tee
from marbleops.collateral.assemble import AmdPlatform, IntelPlatform, UnknownPlatformError, platform_of
from marbleops.collateral.documents import DocumentError, Key, Kind, Update, read_document, slice_signed
from marbleops.collateral.sources import Dialect, Source, _retry_after

GOOD = smith.collateral()
SIGNATURE = "ab" * 64
SNP = SoftSnp(seed=b"documents".ljust(32, b"."))


@settings(max_examples=10, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3),
    st.sampled_from(["", " ", "\n\t "]),
    st.booleans(),
)
def test_the_signed_text_is_cut_out_to_the_byte(value: dict[str, Any], space: str, first: bool) -> None:
    """Whatever white space and order an answer has, the text between is what was signed."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    members = [f'"tcbInfo"{space}:{space}{text}', f'"signature":{space}"{SIGNATURE}"']
    body = (
        f"{space}{{{space}{f'{space},{space}'.join(members if first else reversed(members))}{space}}}{space}"
    )
    assert slice_signed(body.encode(), "tcbInfo") == (text, bytes.fromhex(SIGNATURE))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"tcbInfo":{}}', "expected the members 'tcbInfo' and 'signature'"),
        (b'{"enclaveIdentity":{},"signature":"00"}', r"found \['enclaveIdentity', 'signature'\]"),
        (b'{"tcbInfo":{},"tcbInfo":{},"signature":"00"}', "a member name occurs twice"),
        (b'{"tcbInfo":{},"signature":"xx"}', "signature is not hexadecimal"),
        (b'{"tcbInfo":{},"signature":7}', "signature is not hexadecimal"),
        (b'{"tcbInfo":{},"signature":"00"}', "signature has 1 bytes, not 64"),
        (b'{"tcbInfo":{},"signature":"' + SIGNATURE.encode() + b'"}', "TCB info lacks version"),
        (b" " * 200_000, "longer than"),
    ],
)
def test_an_answer_that_is_no_document(body: bytes, words: str) -> None:
    """Each is refused with a reason."""
    with pytest.raises(DocumentError, match=words):
        read_document(Key(kind=Kind.TCB_INFO, subject="50FF00000000"), body)


def test_another_document_than_the_one_asked_for() -> None:
    """TCB info of another FMSPC, a list of another CA, another environment's: each says what it is."""
    soft = SoftPcs(pki=smith.PKI, publish=lambda _tee, _update: GOOD)
    info = soft.answer("/sgx/certification/v4/tcb?fmspc=50ff00000000").body
    assert read_document(Key(kind=Kind.TCB_INFO, subject="50FF00000000"), info).number == 18
    for key, body, words in (
        (Key(kind=Kind.TCB_INFO, subject="00906ED50000"), info, "TCB info is of FMSPC 50FF00000000"),
        (Key(kind=Kind.TCB_INFO, tee=Tee.TDX, subject="50FF00000000"), info, "TCB info is for SGX"),
        (Key(kind=Kind.PCK_CRL, subject="processor"), GOOD.pck_crl, "not of 'SGX PCK Processor CA'"),
        (Key(kind=Kind.ROOT_CRL), GOOD.pck_crl, "not of 'SGX Root CA'"),
        (Key(kind=Kind.ROOT_CRL), b"0", "truncated"),
        (
            Key(kind=Kind.CERT_CHAIN, tee=Tee.SNP, subject="vcek/v1/Milan"),
            SNP.files(at=smith.AT)["ark.der"],
            "found 1",
        ),
    ):
        with pytest.raises(DocumentError, match=words):
            read_document(key, body)
    assert soft.answer("/sgx/certification/v4/qe/nothing").status == 404


@pytest.mark.parametrize(
    "members",
    [
        {"kind": Kind.TCB_INFO, "subject": "../../etc"},
        {"kind": Kind.TCB_INFO, "subject": "50ff00000000"},
        {"kind": Kind.TCB_INFO, "subject": "50FF00000000", "tee": Tee.SNP},
        {"kind": Kind.PCK_CRL, "subject": "root"},
        {"kind": Kind.PCK_CRL, "subject": "platform", "update": Update.EARLY},
        {"kind": Kind.PCK_CRL, "subject": "platform", "tee": Tee.TDX},
        {"kind": Kind.VCEK, "subject": "vcek/v1/Milan/00?blSPL=1", "tee": Tee.SNP},
        {"kind": Kind.SNP_CRL, "subject": "vcek/v1/Rome", "tee": Tee.SNP},
    ],
)
def test_names_of_nothing(members: dict[str, Any]) -> None:
    """A key is what a URL and a file name are made of: anything unknown is refused."""
    with pytest.raises(DocumentError):
        Key(**members)


def test_keys_survive_a_file() -> None:
    """Each key reads back as itself and has a name of its own that is safe for a file."""
    intel, amd = platform_of(smith.raw_quote()), platform_of(SNP.report(SnpGuest(measurement=b"m" * 48), b""))
    assert isinstance(intel, IntelPlatform)
    keys = (*intel.needs(), *intel.needs(Update.EARLY)[:2], *amd.needs())
    assert [Key.from_json(key.to_json()) for key in keys] == list(keys)
    names = {key.name for key in keys}
    assert len(names) == len(keys) == 9
    assert all("/" not in name and len(name) < 60 for name in names)
    with pytest.raises(DocumentError, match="not the key"):
        Key.from_json({"kind": "tcb-info"})


def test_the_platform_of_evidence() -> None:
    """SGX, TDX and SNP evidence name their platforms; what does not is told what to add."""
    assert platform_of(smith.raw_quote()) == IntelPlatform(tee=Tee.SGX, fmspc="50FF00000000", ca="platform")
    assert platform_of(tdsmith.quote()) == IntelPlatform(tee=Tee.TDX, fmspc="50FF00000000", ca="platform")
    old = SNP.report(SnpGuest(measurement=b"m" * 48, version=2), b"")
    found = platform_of(old, ProductLine.MILAN)
    assert isinstance(found, AmdPlatform)
    assert str(found.vcek).endswith("?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219")
    masked = SNP.report(SnpGuest(measurement=b"m" * 48, masked=True), b"")
    for evidence, words in (
        (old, "Milan or Genoa"),
        (masked, "hides its chip"),
        (smith.with_certification(smith.raw_quote(), 3, bytes(404)), "certification data of type 3"),
        (b"\3\0", "QUOTE_TRUNCATED"),
        (b"HCLA", "an HCL report has at least"),
    ):
        with pytest.raises(UnknownPlatformError, match=words):
            platform_of(evidence)


@pytest.mark.parametrize(
    ("text", "dialect", "base", "api"),
    [
        ("https://api.trustedservices.intel.com", Dialect.PCS, "https://api.trustedservices.intel.com", 4),
        ("https://localhost:8081/sgx/certification/v4/", Dialect.PCCS, "https://localhost:8081", 4),
        ("https://localhost:8081/sgx/certification/v3/", Dialect.PCCS, "https://localhost:8081", 3),
        ("pcs:http://mirror/intel", Dialect.PCS, "http://mirror/intel", 4),
        ("https://kdsintf.amd.com", Dialect.KDS, "https://kdsintf.amd.com", 4),
        ("kds:http://[::1]:80", Dialect.KDS, "http://[::1]:80", 4),
    ],
)
def test_sources(text: str, dialect: Dialect, base: str, api: int) -> None:
    """A source is written as people have it in other programs' configuration."""
    source = Source.parse(text)
    assert (source.dialect, source.base, source.api) == (dialect, base, api)
    assert Source.parse(str(source)) == source
    assert not source.serves(Key(kind=Kind.TCB_INFO, tee=Tee.TDX, subject="0" * 12)) or api == 4


def test_intel_keeps_the_root_list_elsewhere() -> None:
    """PCS has no path for it (2.7)."""
    url = Source.parse("https://api.trustedservices.intel.com").url(Key(kind=Kind.ROOT_CRL))
    assert url == "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8081",
        "ftp://x",
        "http://",
        "https://user:word@host",
        "https://host/?a=b",
        "https://h/ x",
        "file:///x",
    ],
)
def test_what_is_no_source(text: str) -> None:
    """Credentials, queries and other schemes are refused."""
    with pytest.raises(ValueError, match=r"URL"):
        Source.parse(text)


def test_the_life_of_documents() -> None:
    """Intel's lists say when they end; certificates are not expected to change."""
    crl = read_document(Key(kind=Kind.PCK_CRL, subject="platform"), GOOD.pck_crl)
    assert crl.expires - crl.issued == timedelta(days=30, hours=1)
    assert crl.refreshed
    vcek = platform_of(SNP.report(SnpGuest(measurement=b"m" * 48), b"")).needs()[0]
    assert not read_document(vcek, SNP.files(at=smith.AT)["vcek.der"]).refreshed


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 30),
        ("7", 7),
        ("0", 1),
        ("99999999999", 3600),
        ("Mon, 01 Jun 2026 12:00:45 GMT", 45),
        ("Mon, 01 Jun 2020 12:00:00 GMT", 1),
        ("soon", 30),
    ],
)
def test_how_long_a_source_wants_to_be_left_alone(value: str | None, seconds: int) -> None:
    """Seconds or a date (RFC 9110, 10.2.3); never for more than an hour, and words are not believed."""
    assert _retry_after(value, smith.AT) == timedelta(seconds=seconds)
