"""Invariant: what a source, a file or a stick holds is a document or a typed error.

The first byte of an input says what the rest is: a document of some name, a bundle, floors, a
cache entry, or a quote whose platform is looked for.
Run with atheris where installed, or ``python -m fuzz.fuzz_published --runs 20000 [--seed 1]``.
"""

from __future__ import annotations

import json

from conformance import quotesmith as smith
from fuzz.mutate import run
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform.softpcs import SoftPcs
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.verdict import Tee
from marbleops.collateral.assemble import IntelPlatform, UnknownPlatformError, platform_of
from marbleops.collateral.authentic import check_authentic, known_roots
from marbleops.collateral.bundle import BundleError, export_bundle, read_bundle
from marbleops.collateral.cache import Entry
from marbleops.collateral.documents import DocumentError, read_document
from marbleops.collateral.floors import Floors, FloorsError, observe, observe_lists

GOOD = smith.collateral()
CHAIN = GOOD.tcb_info_issuer_chain
CHAINS = (CHAIN, CHAIN, GOOD.pck_crl_issuer_chain, "")
ANCHORS = Anchors.simulation(smith.ANCHOR)
ROOTS = known_roots([CHAIN], ANCHORS)
MACHINE = SoftSnp(seed=b"published".ljust(32, b"."))
FILES = MACHINE.files(at=smith.AT)
SOFT = SoftPcs(pki=smith.PKI, publish=lambda _tee, _update: GOOD, snp=MACHINE)
KEYS = (
    *IntelPlatform(tee=Tee.SGX, fmspc="50FF00000000", ca="platform").needs(),
    *platform_of(MACHINE.report(SnpGuest(measurement=b"\x11" * 48), b"")).needs(),
)
BODIES = (
    SOFT.answer("/sgx/certification/v4/tcb?fmspc=50FF00000000").body,
    SOFT.answer("/sgx/certification/v4/qe/identity").body,
    GOOD.pck_crl,
    GOOD.root_ca_crl,
    FILES["vcek.der"],
    SOFT.answer("/vcek/v1/Milan/cert_chain").body,
    FILES["crl.der"],
)
ENTRY = Entry(
    document=read_document(KEYS[2], GOOD.pck_crl, CHAINS[2]), source="pcs:https://pcs", fetched_at=smith.AT
)
QUOTE = smith.raw_quote()
BUNDLE = export_bundle([ENTRY], created=smith.AT, signing_key=None)
SEEDS = [
    *(bytes([48 + index]) + body for index, body in enumerate(BODIES)),
    b"b" + BUNDLE,
    b"f" + observe(GOOD, Tee.SGX).encode(),
    b"e" + json.dumps(ENTRY.to_json()).encode(),
    b"l" + GOOD.pck_crl,
    b"q" + QUOTE,
]


def one_input(raw: bytes) -> None:
    kind, rest = raw[:1], raw[1:]
    try:
        if kind == b"b":
            read_bundle(rest)
        elif kind == b"f":
            assert Floors.decode(rest) == Floors.decode(Floors.decode(rest).encode())
        elif kind == b"e":
            Entry.from_json(_json(rest))
        elif kind == b"q":
            platform_of(rest)
        elif kind == b"l":
            observe_lists([rest])
        elif kind and 48 <= kind[0] < 48 + len(KEYS):
            _document(kind[0] - 48, rest)
    except (BundleError, DocumentError, FloorsError, UnknownPlatformError):
        return


def _document(index: int, body: bytes) -> None:
    chain = CHAINS[index] if index < len(CHAINS) else ""
    document = read_document(KEYS[index], body, chain)
    check_authentic(document, ANCHORS, ROOTS)
    if index < 2:
        # Signed JSON that passes is the signed text to the byte.
        assert (GOOD.tcb_info, GOOD.qe_identity)[index].encode() in body


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


if __name__ == "__main__":
    run(one_input, SEEDS)
