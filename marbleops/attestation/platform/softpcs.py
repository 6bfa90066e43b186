"""What Intel's PCS, a PCCS and AMD's KDS answer, for simulated machines (attestation.md 2.7, 1.4).

Paths, headers and encodings are theirs. No sockets here: a request's target goes in, a reply comes out.
``simulation serve-collateral`` and the tests' fake put a server in front of it, so that fetching, caching and
expiry are tried on the real client.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.platform.softpki import FMSPC, Pki, sign
from marbleops.attestation.snp.report import SigningKey
from marbleops.attestation.verdict import Tee

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.platform.softsnp import SoftSnp

_INTEL = re.compile(
    r"/(?P<tee>sgx|tdx)/certification/v(?P<api>[34])/(?P<what>tcb|qe/identity|pckcrl|rootcacrl)"
)
_AMD = re.compile(r"/(?P<kind>vcek|vlek)/v1/(?P<line>[A-Z][a-z]+)/(?P<what>cert_chain|crl|[0-9a-f]+)")
_JSON: Final = {"Content-Type": "application/json"}
_HEX: Final = {"Content-Type": "text/plain; charset=utf-8"}
_DER: Final = {"Content-Type": "application/pkix-crl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of HTTP."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


_NOT_FOUND: Final = Reply(status=404, headers={"Request-ID": "0" * 32})


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftPcs:
    """The published documents of one simulated machine.

    ``publish`` gives the collateral of an environment and of an update, "standard" or "early". A PCCS writes
    lists in hexadecimal and has the root's own; PCS leaves that at its certificate host, here under the path
    of a mirror.
    """

    pki: Pki = field(repr=False)
    publish: Callable[[Tee, str], Collateral]
    pccs: bool = False
    snp: SoftSnp | None = None

    def answer(self, target: str) -> Reply:
        """Answer ``GET target``."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/IntelSGXRootCA.der" and not self.pccs:
            return Reply(status=200, headers=_DER, body=self.publish(Tee.SGX, "standard").root_ca_crl)
        if (match := _INTEL.fullmatch(parts.path)) is not None:
            return self._intel(Tee(match["tee"]), match["api"], match["what"], query)
        if (match := _AMD.fullmatch(parts.path)) is not None and self.snp is not None:
            return _amd(self.snp, match["kind"], match["line"], match["what"], self._now())
        return _NOT_FOUND

    def _now(self) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(self.publish(Tee.SGX, "standard").root_ca_crl)

    def _intel(self, tee: Tee, api: str, what: str, query: Mapping[str, str]) -> Reply:
        if api == "3" and tee is Tee.TDX:
            return _NOT_FOUND
        collateral = self.publish(tee, query.get("update", "standard"))
        if what == "rootcacrl":
            return (
                Reply(status=200, headers=_HEX, body=_hex(collateral.root_ca_crl))
                if self.pccs
                else _NOT_FOUND
            )
        if what == "pckcrl":
            return self._pck_crl(collateral, query)
        if what == "qe/identity":
            body = _signed("enclaveIdentity", collateral.qe_identity, collateral.qe_identity_signature)
            chain = {"SGX-Enclave-Identity-Issuer-Chain": quote(collateral.qe_identity_issuer_chain)}
            return Reply(status=200, headers=_JSON | chain, body=body)
        if query.get("fmspc", "").upper() != FMSPC.hex().upper():
            return _NOT_FOUND
        name = "SGX-TCB-Info-Issuer-Chain" if api == "3" else "TCB-Info-Issuer-Chain"
        headers = _JSON | {name: quote(collateral.tcb_info_issuer_chain)}
        text, signature = collateral.tcb_info, collateral.tcb_info_signature
        if api == "3":
            text = _version_2(text)
            signature = sign(self.pki.tcb_signing.key, text.encode())
        return Reply(status=200, headers=headers, body=_signed("tcbInfo", text, signature))

    def _pck_crl(self, collateral: Collateral, query: Mapping[str, str]) -> Reply:
        if query.get("ca") != "platform":
            return _NOT_FOUND
        chain = {"SGX-PCK-CRL-Issuer-Chain": quote(collateral.pck_crl_issuer_chain)}
        if self.pccs:
            return Reply(status=200, headers=_HEX | chain, body=_hex(collateral.pck_crl))
        return Reply(status=200, headers=_DER | chain, body=collateral.pck_crl)


def _amd(
    machine: SoftSnp, kind: str, line: str, what: str, published: x509.CertificateRevocationList
) -> Reply:
    if line != machine.line:
        return _NOT_FOUND
    files = machine.files(at=published.last_update_utc, kind=SigningKey(kind.upper()))
    if what == "crl":
        return Reply(status=200, headers=_DER, body=files["crl.der"])
    if what == "cert_chain":
        authority = files["ask.der" if kind == "vcek" else "asvk.der"]
        pem = b"".join(_pem(one) for one in (authority, files["ark.der"]))
        return Reply(status=200, headers={"Content-Type": "application/x-pem-file"}, body=pem)
    if kind != "vcek" or what != machine.chip_id.hex()[: len(what)]:
        return _NOT_FOUND
    headers = {"Content-Type": "application/octet-stream"}
    return Reply(status=200, headers=headers, body=files["vcek.der"])


def _pem(certificate: bytes) -> bytes:
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def _hex(content: bytes) -> bytes:
    return content.hex().upper().encode()


def _signed(member: str, text: str, signature: bytes) -> bytes:
    # 5.3: the signed text stands in the answer to the byte.
    return f'{{"{member}":{text},"signature":"{signature.hex()}"}}'.encode()


def _version_2(text: str) -> str:
    """Return TCB info as version 3 of the interface has it: components by name, no id."""
    document = json.loads(text)
    del document["id"]
    document["version"] = 2
    for level in document["tcbLevels"]:
        components = level["tcb"].pop("sgxtcbcomponents")
        for number, component in enumerate(components, 1):
            level["tcb"][f"sgxtcbcomp{number:02d}svn"] = component["svn"]
    return json.dumps(document, separators=(",", ":"))
