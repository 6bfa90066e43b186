"""Makes good and bad evidence on a simulated machine, for the cases of `appraise` and for the tests.

Each scenario is a row of attestation.md 2.8 that concerns SGX v3, made anew from a fixed seed and time: the same code
gives the same bytes. A forger's hands: it knows every key of the machine and signs again whatever it changes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.measure import signer_of_label
from marbleops.attestation.platform.softpki import (
    Authority,
    Pki,
    build_crl,
    build_pki,
    derive_key,
    issue,
    sgx_extension,
    sign,
)
from marbleops.attestation.platform.softquote import SimulatedIssuer, build_collateral

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.attestation.collateral import Collateral

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEED = hashlib.sha256(b"marbleops conformance machine").digest()
PKI = build_pki(SEED, AT)
ANCHOR = PKI.root.certificate.public_bytes(Encoding.DER)
IDENTITY = EnclaveIdentity(
    unique_id=hashlib.sha256(b"conformance enclave").digest(),
    signer_id=signer_of_label("conformance"),
    product_id=7,
    security_version=3,
    debug=False,
)
REPORT_DATA = hashlib.sha256(b"conformance certificate").digest()
OE_HEADER_SIZE = 16


def raw_quote(
    identity: EnclaveIdentity = IDENTITY, *, report_data: bytes = REPORT_DATA, pki: Pki = PKI
) -> bytes:
    """Return a quote as the platform makes it, without its Open Enclave header."""
    return SimulatedIssuer(SEED, pki, identity).quote(report_data)[OE_HEADER_SIZE:]


def oe_report(quote: bytes) -> bytes:
    """Put the header of an Open Enclave remote report before ``quote``."""
    return (1).to_bytes(4, "little") + (2).to_bytes(4, "little") + len(quote).to_bytes(8, "little") + quote


def resigned(
    quote: bytes, *, body: Mapping[int, bytes] | None = None, qe: Mapping[int, bytes] | None = None
) -> bytes:
    """Write over the quote's body or its QE report at the given offsets, and sign both again."""
    raw = bytearray(quote)
    for offset, value in (body or {}).items():
        raw[48 + offset : 48 + offset + len(value)] = value
    for offset, value in (qe or {}).items():
        raw[564 + offset : 564 + offset + len(value)] = value
    raw[436:500] = sign(derive_key(SEED, "attestation"), bytes(raw[:432]))
    raw[948:1012] = sign(PKI.pck.key, bytes(raw[564:948]))
    return bytes(raw)


def with_certification(quote: bytes, kind: int, data: bytes) -> bytes:
    """Replace the certification data."""
    signature_data = quote[436:1046] + kind.to_bytes(2, "little") + len(data).to_bytes(4, "little") + data
    return quote[:432] + len(signature_data).to_bytes(4, "little") + signature_data


def patched(quote: bytes, offset: int, value: bytes) -> bytes:
    """Write over the quote without signing anything."""
    return quote[:offset] + value + quote[offset + len(value) :]


def collateral(
    *,
    tcb: Callable[[dict[str, Any]], None] | None = None,
    qe: Callable[[dict[str, Any]], None] | None = None,
    at: datetime = AT,
    pki: Pki = PKI,
    **members: Any,
) -> Collateral:
    """Return collateral with edited documents, signed again, and with whole members replaced."""
    good = build_collateral(pki, at=at)
    changes: dict[str, Any] = {}
    for name, edit in (("tcb_info", tcb), ("qe_identity", qe)):
        if edit is not None:
            document = json.loads(getattr(good, name))
            edit(document)
            changes |= signed(name, json.dumps(document, separators=(",", ":")), pki.tcb_signing)
    return dataclasses.replace(good, **(changes | members))


def signed(name: str, text: str, signer: Authority) -> dict[str, Any]:
    """Return the two members of a signed document."""
    return {name: text, f"{name}_signature": sign(signer.key, text.encode())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Evidence, collateral, and what a verifier must answer; ``dcap_qvl`` says whether dcap-qvl 0.7.0 accepts."""

    name: str
    why: str
    quote: bytes
    collateral: Collateral
    code: str = "OK"
    status: str | None = None
    allow_debug: bool = False
    at: datetime = AT
    dcap_qvl: bool | None = None

    @property
    def dcap_qvl_accepts(self) -> bool:
        """Return what dcap-qvl 0.7.0 answers: the same, unless a bold row of 2.8 says otherwise."""
        return (self.code == "OK") if self.dcap_qvl is None else self.dcap_qvl


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """Build every scenario."""
    return (
        *_good(),
        *_levels(),
        *_broken_quotes(),
        *_quoting_enclave(),
        *_certificates(),
        *_revocation(),
        *_documents(),
    )


def _good() -> tuple[Scenario, ...]:
    quote, good = raw_quote(), collateral()
    debug = raw_quote(dataclasses.replace(IDENTITY, debug=True))
    chain = quote[1052:].rstrip(b"\0").decode()
    by_collateral = with_certification(quote, 3, bytes(404))
    return (
        Scenario(
            name="valid",
            why="An unaltered quote with current collateral.",
            quote=quote,
            collateral=good,
            status="UpToDate",
        ),
        Scenario(
            name="trailing-zeros",
            why="Cloud guests return a buffer that is padded with zeros.",
            quote=quote + bytes(100),
            collateral=good,
            status="UpToDate",
        ),
        Scenario(
            name="debug-allowed",
            why="A debug enclave verifies where the caller allows it.",
            quote=debug,
            collateral=good,
            status="UpToDate",
            allow_debug=True,
            dcap_qvl=False,
        ),
        Scenario(
            name="debug-refused",
            why="A debug enclave's memory is open to its host.",
            quote=debug,
            collateral=good,
            code="DEBUG_ENCLAVE",
        ),
        Scenario(
            name="chain-in-collateral",
            why="Certification data type 3 with the PCK chain brought by the collateral.",
            quote=by_collateral,
            collateral=collateral(pck_certificate_chain=chain),
            status="UpToDate",
        ),
        Scenario(
            name="chain-nowhere",
            why="Certification data type 3 identifies a platform but certifies nothing.",
            quote=by_collateral,
            collateral=good,
            code="QUOTE_CERT_DATA_TYPE",
        ),
    )


def _levels() -> tuple[Scenario, ...]:
    def first(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda document: document["tcbLevels"][0].update(changes)

    def require_pce_svn(count: int) -> Callable[[dict[str, Any]], None]:
        def edit(document: dict[str, Any]) -> None:
            for level in document["tcbLevels"][:count]:
                level["tcb"]["pcesvn"] = 14

        return edit

    def too_new_for_all(document: dict[str, Any]) -> None:
        for level in document["tcbLevels"]:
            level["tcb"]["isvsvn"] = 9

    def old_qe(document: dict[str, Any]) -> None:
        document["tcbLevels"][0]["tcb"]["isvsvn"] = 9

    quote = raw_quote()
    words = (
        "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
        "OutOfDateConfigurationNeeded",
    )  # fmt: skip
    joined = {
        "UpToDate": "OutOfDate",
        "SWHardeningNeeded": "OutOfDate",
        "OutOfDate": "OutOfDate",
        "ConfigurationNeeded": "OutOfDateConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded": "OutOfDateConfigurationNeeded",
    }
    rows: list[tuple[str, str, Collateral, str, str | None]] = [
        (
            f"status-{word}",
            "Every status but Revoked verifies; policy decides.",
            collateral(tcb=first(tcbStatus=word)),
            "OK",
            word,
        )
        for word in words
    ]
    rows += [
        (
            f"converge-{word}",
            "An outdated quoting enclave makes the platform's status worse.",
            collateral(tcb=first(tcbStatus=word), qe=old_qe),
            "OK",
            result,
        )
        for word, result in joined.items()
    ]
    rows += [
        ("pcesvn-older-level", "PCESVN counts like a component.", collateral(tcb=require_pce_svn(1)), "OK", "OutOfDate"),
        ("pcesvn-too-low", "No level is reached.", collateral(tcb=require_pce_svn(3)), "TCB_NOT_SUPPORTED", None),
        ("no-levels", "No level is published.", collateral(tcb=lambda d: d.update(tcbLevels=[])), "TCB_NOT_SUPPORTED", None),
        ("status-unknown", "A status that nobody knows means nothing.", collateral(tcb=first(tcbStatus="Fine")), "TCB_STATUS_UNKNOWN", None),
        ("platform-revoked", "A revoked level is never accepted.", collateral(tcb=first(tcbStatus="Revoked")), "TCB_REVOKED", "Revoked"),
        ("qe-revoked", "A revoked quoting enclave is never accepted.", collateral(qe=first(tcbStatus="Revoked")), "TCB_REVOKED", "Revoked"),
        (
            "qe-svn-too-low",
            "The quoting enclave is below every level.",
            collateral(qe=too_new_for_all),
            "QE_TCB_NOT_SUPPORTED",
            None,
        ),
    ]  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=quote, collateral=with_, code=code, status=status)
        for name, why, with_, code, status in rows
    )


def _broken_quotes() -> tuple[Scenario, ...]:
    quote, good = raw_quote(), collateral()
    rows: tuple[tuple[str, str, bytes, str, bool | None], ...] = (
        ("truncated", "Four bytes are not a quote.", quote[:4], "QUOTE_TRUNCATED", None),
        ("noise", "A hundred bytes of FF have no known version.", b"\xff" * 100, "QUOTE_VERSION", None),
        *((f"version-{n}", "Only versions 3, 4 and 5 exist.", patched(quote, 0, bytes([n, 0])), "QUOTE_VERSION", None) for n in (1, 2, 6, 255)),
        *((f"key-type-{n}", "Only ECDSA P-256 is in use.", patched(quote, 2, bytes([n, 0])), "QUOTE_KEY_TYPE", None) for n in (0, 1, 3, 255)),
        ("version-5-sgx", "A v5 header on a v3 layout.", patched(quote, 0, b"\5\0"), "QUOTE_VERSION_TEE_MISMATCH", None),
        ("tee-type", "Neither SGX nor TDX.", patched(quote, 0, b"\4\0\2\0\x42"), "QUOTE_TEE_TYPE", None),
        ("qe-vendor", "The quoting enclave is not Intel's.", patched(quote, 12, bytes(16)), "QUOTE_QE_VENDOR", None),
        ("trailing-junk", "Unsigned bytes after the quote.", quote + b"x", "QUOTE_TRAILING_DATA", True),
        ("auth-length-huge", "An inner length beyond the outer one.", patched(quote, 1012, b"\xff\xff"), "QUOTE_TRUNCATED", None),
        ("auth-length-short", "An inner length that shifts what follows.", patched(quote, 1012, b"\x1f\0"), "QUOTE_TRUNCATED", None),
        ("cert-data-type-1", "A plain PPID certifies nothing.", patched(quote, 1046, b"\1\0"), "QUOTE_CERT_DATA_TYPE", None),
        ("unique-id-tampered", "The measurement is signed.", patched(quote, 112, bytes(32)), "QUOTE_SIGNATURE", None),
        ("report-data-tampered", "The report data is signed.", patched(quote, 368, bytes(32)), "QUOTE_SIGNATURE", None),
        ("signature-zero", "Zero is no signature.", patched(quote, 436, bytes(64)), "QUOTE_SIGNATURE", None),
        ("not-initialised", "An enclave that was never initialised.", resigned(quote, body={48: b"\x84"}), "SGX_NOT_INIT", True),
    )  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=raw, collateral=good, code=code, dcap_qvl=qvl)
        for name, why, raw, code, qvl in rows
    )


def _quoting_enclave() -> tuple[Scenario, ...]:
    quote, good = raw_quote(), collateral()
    rows: tuple[tuple[str, str, bytes, Collateral, str, bool | None], ...] = (
        ("qe-report-signature", "The PCK signs the QE report.", patched(quote, 948, bytes(64)), good, "QE_REPORT_SIGNATURE", None),
        ("attestation-key-swapped", "The QE report binds the attestation key.", patched(quote, 500, bytes(64)), good, "QE_REPORT_DATA", None),
        ("qe-report-data-tail", "All 64 bytes are bound.", resigned(quote, qe={352: b"\1"}), good, "QE_REPORT_DATA", True),
        ("qe-debug", "A debug quoting enclave gives its key away.", resigned(quote, qe={48: b"\x13"}), good, "QE_DEBUG", None),
        ("qe-signer", "Another signer.", quote, collateral(qe=lambda d: d.update(mrsigner="FF" * 32)), "QE_MRSIGNER", None),
        ("qe-product", "Another product.", quote, collateral(qe=lambda d: d.update(isvprodid=999)), "QE_ISVPRODID", None),
        ("qe-misc-select", "Other MISCSELECT.", quote, collateral(qe=lambda d: d.update(miscselect="FFFFFFFF")), "QE_MISCSELECT", None),
        ("qe-attributes", "Other ATTRIBUTES.", quote, collateral(qe=lambda d: d.update(attributes="FF" * 16)), "QE_ATTRIBUTES", None),
    )  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=raw, collateral=with_, code=code, dcap_qvl=qvl)
        for name, why, raw, with_, code, qvl in rows
    )


def _pck(*, begin: datetime, valid: timedelta, extension: bytes | None) -> Pki:
    pck = issue(SEED, "SGX PCK Certificate", PKI.pck_ca, begin=begin, valid=valid, extension=extension)
    return dataclasses.replace(PKI, pck=pck)


def _certificates() -> tuple[Scenario, ...]:
    year = timedelta(days=365)
    quote, good, extension = raw_quote(), collateral(), sgx_extension(SEED)
    stranger = build_pki(hashlib.sha256(b"another machine").digest(), AT)
    fake_root = (PKI.pck.pem + PKI.pck_ca.pem + stranger.root.pem).encode()
    foreign = (stranger.pck.pem + stranger.pck_ca.pem + stranger.root.pem).encode()
    ca_chain = PKI.pck_ca.pem + PKI.root.pem
    pck_chain = PKI.pck.pem + PKI.pck_ca.pem + PKI.root.pem
    expired = _pck(begin=AT - year, valid=timedelta(days=1), extension=extension)
    future = _pck(begin=AT + year, valid=year, extension=extension)
    plain = _pck(begin=AT - year, valid=2 * year, extension=None)
    info, identity = good.tcb_info, good.qe_identity
    rows: tuple[tuple[str, str, bytes, Collateral, str, bool | None], ...] = (
        ("root-same-name", "A root of the same name with another key.", with_certification(quote, 5, fake_root), good, "CHAIN_UNTRUSTED_ROOT", True),
        ("root-untrusted", "A whole machine under another root.", with_certification(quote, 5, foreign), good, "CHAIN_UNTRUSTED_ROOT", None),
        ("pck-chain-of-signer", "The TCB signer is no PCK.", with_certification(quote, 5, (PKI.tcb_signing.pem + PKI.root.pem).encode()), good, "CHAIN_LENGTH", None),
        ("pck-expired", "Validity is checked.", raw_quote(pki=expired), good, "CERT_EXPIRED", None),
        ("pck-not-yet-valid", "Validity is checked on both ends.", raw_quote(pki=future), good, "CERT_EXPIRED", None),
        ("pck-without-extension", "A PCK certificate says which platform it is for.", raw_quote(pki=plain), good, "PCK_EXTENSION", None),
        ("tcb-chain-garbage", "No certificate at all.", quote, collateral(tcb_info_issuer_chain="garbage"), "CHAIN_LENGTH", None),
        ("tcb-chain-empty", "No certificate at all.", quote, collateral(tcb_info_issuer_chain=""), "CHAIN_LENGTH", None),
        ("qe-chain-empty", "No certificate at all.", quote, collateral(qe_identity_issuer_chain=""), "CHAIN_LENGTH", None),
        ("tcb-signed-by-ca", "A CA is not an end entity.", quote, collateral(tcb_info_issuer_chain=ca_chain, **signed("tcb_info", info, PKI.pck_ca)), "CERT_CA_AS_LEAF", None),
        ("qe-signed-by-ca", "A CA is not an end entity.", quote, collateral(qe_identity_issuer_chain=ca_chain, **signed("qe_identity", identity, PKI.pck_ca)), "CERT_CA_AS_LEAF", None),
        ("tcb-signed-by-pck", "An extracted PCK key must not vouch for its own platform.", quote, collateral(tcb_info_issuer_chain=pck_chain, **signed("tcb_info", info, PKI.pck)), "CERT_NAME", True),
        ("qe-signed-by-pck", "An extracted PCK key must not vouch for a quoting enclave.", quote, collateral(qe_identity_issuer_chain=pck_chain, **signed("qe_identity", identity, PKI.pck)), "CERT_NAME", True),
    )  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=raw, collateral=with_, code=code, dcap_qvl=qvl)
        for name, why, raw, with_, code, qvl in rows
    )


def _revocation() -> tuple[Scenario, ...]:
    quote = raw_quote()
    month, year, day = timedelta(days=30), timedelta(days=365), timedelta(days=1)

    def root(*revoked: Authority, at: datetime = AT, valid: timedelta = year) -> Collateral:
        listed = tuple(one.certificate for one in revoked)
        return collateral(root_ca_crl=build_crl(PKI.root, at=at, valid=valid, revoked=listed))

    def pck(*revoked: Authority, at: datetime = AT, valid: timedelta = month) -> Collateral:
        listed = tuple(one.certificate for one in revoked)
        return collateral(pck_crl=build_crl(PKI.pck_ca, at=at, valid=valid, revoked=listed))

    good = collateral()
    bad = good.pck_crl[:-1] + bytes([good.pck_crl[-1] ^ 1])
    rows: tuple[tuple[str, str, Collateral, str, bool | None], ...] = (
        ("pck-revoked", "The PCK certificate is on its CA's list.", pck(PKI.pck), "CERT_REVOKED", None),
        ("pck-ca-revoked", "The PCK's CA is on the root's list.", root(PKI.pck_ca), "CERT_REVOKED", None),
        ("tcb-signing-revoked", "The signer of collateral is on the root's list.", root(PKI.tcb_signing), "CERT_REVOKED", None),
        ("root-crl-expired", "An old list hides revocations.", root(at=AT - 2 * year), "CRL_EXPIRED", None),
        ("pck-crl-expired", "An old list hides revocations.", pck(at=AT - 2 * month), "CRL_EXPIRED", None),
        ("pck-crl-future", "A list of tomorrow was not made by today's CA.", pck(at=AT + day), "CRL_NOT_YET_VALID", True),
        ("pck-crl-wrong-issuer", "The root's list says nothing of PCKs.", collateral(pck_crl=good.root_ca_crl), "CRL_ISSUER", None),
        ("pck-crl-signature", "A list is signed.", collateral(pck_crl=bad), "CRL_SIGNATURE", None),
        ("pck-crl-garbage", "Not a list.", collateral(pck_crl=b"junk"), "CRL_FORMAT", None),
    )  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=quote, collateral=with_, code=code, dcap_qvl=qvl)
        for name, why, with_, code, qvl in rows
    )


def _documents() -> tuple[Scenario, ...]:
    quote, good = raw_quote(), collateral()
    past, future = "2026-05-01T00:00:00Z", "2026-06-02T00:00:00Z"

    def tcb(**changes: Any) -> Collateral:
        return collateral(tcb=lambda document: document.update(changes))

    def qe(**changes: Any) -> Collateral:
        return collateral(qe=lambda document: document.update(changes))

    reserialised = json.dumps(json.loads(good.tcb_info))
    rows: tuple[tuple[str, str, Collateral, str, bool | None], ...] = (
        ("tcb-signature", "TCB info is signed.", collateral(tcb_info_signature=bytes(64)), "TCB_INFO_SIGNATURE", None),
        ("tcb-reserialised", "The signature covers the exact bytes.", collateral(tcb_info=reserialised), "TCB_INFO_SIGNATURE", None),
        ("tcb-not-json", "Signed, but not JSON.", collateral(**signed("tcb_info", "{not json", PKI.tcb_signing)), "TCB_INFO_FORMAT", None),
        ("tcb-for-tdx", "TCB info for the other TEE.", tcb(id="TDX"), "TCB_INFO_TYPE", None),
        ("tcb-expired", "TCB info beyond its next update.", tcb(nextUpdate=past), "TCB_INFO_EXPIRED", None),
        ("tcb-future", "TCB info from the future.", tcb(issueDate=future), "TCB_INFO_NOT_YET_VALID", None),
        ("tcb-fmspc", "TCB info of another family of platforms.", tcb(fmspc="00906ED50000"), "TCB_INFO_FMSPC", None),
        ("tcb-pceid", "TCB info of another PCE.", tcb(pceId="0001"), "TCB_INFO_PCEID", True),
        ("qe-signature", "The QE identity is signed.", collateral(qe_identity_signature=bytes(64)), "QE_IDENTITY_SIGNATURE", None),
        ("qe-not-json", "Signed, but not JSON.", collateral(**signed("qe_identity", "{not json", PKI.tcb_signing)), "QE_IDENTITY_FORMAT", None),
        ("qe-for-tdx", "The identity of the other quoting enclave.", qe(id="TD_QE"), "QE_IDENTITY_TYPE", None),
        ("qe-expired", "The QE identity beyond its next update.", qe(nextUpdate=past), "QE_IDENTITY_EXPIRED", None),
        ("qe-future", "The QE identity from the future.", qe(issueDate=future), "QE_IDENTITY_NOT_YET_VALID", None),
    )  # fmt: skip
    return tuple(
        Scenario(name=name, why=why, quote=quote, collateral=with_, code=code, dcap_qvl=qvl)
        for name, why, with_, code, qvl in rows
    )
