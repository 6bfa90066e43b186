"""Invariant: any collateral gets a verdict, and what its signer did not sign never changes an accepted one.

The input is the text of a signed document (signed again, so that its parser is reached), a revocation list,
a chain, or the whole collateral file. Run like ``fuzz_quote``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from conformance import quotesmith as smith
from conformance import tdsmith
from fuzz.mutate import run
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.platform.softpki import sign

if TYPE_CHECKING:
    from marbleops.attestation.verdict import Verdict

SGX, TDX = smith.collateral(), tdsmith.collateral()
QUOTES = (smith.raw_quote(), tdsmith.td15(launched=(4, 1, 3)))
VERIFIER = QuoteVerifier(Anchors.simulation(smith.ANCHOR), cache_size=64)
SEEDS = [
    text.encode()
    for good in (SGX, TDX)
    for text in (good.tcb_info, good.qe_identity, good.to_json(), good.tcb_info_issuer_chain)
]
SEEDS += [SGX.root_ca_crl, SGX.pck_crl]


def verify(quote: bytes, collateral: Collateral) -> Verdict:
    verdict = VERIFIER.verify(quote, collateral, at=smith.AT)
    assert verdict.checks[-1].ok == verdict.accepted
    return verdict


def same(one: str | bytes, other: str | bytes) -> bool:
    """Zeros may follow a revocation list (attestation.md 2.7)."""
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one.rstrip(b"\0") == other.rstrip(b"\0")
    return one == other


def one_input(raw: bytes) -> None:
    text = raw.decode(errors="replace")
    signature = sign(smith.PKI.tcb_signing.key, text.encode())
    for quote, good in zip(QUOTES, (SGX, TDX), strict=True):
        signed: tuple[dict[str, Any], ...] = (
            {"tcb_info": text, "tcb_info_signature": signature},
            {"qe_identity": text, "qe_identity_signature": signature},
        )
        for members in signed:
            verify(quote, dataclasses.replace(good, **members))
        unsigned: tuple[dict[str, Any], ...] = ({"tcb_info": text}, {"root_ca_crl": raw}, {"pck_crl": raw})
        for members in unsigned:
            ((name, given),) = members.items()
            accepted = verify(quote, dataclasses.replace(good, **members)).accepted
            assert not accepted or same(given, getattr(good, name)), f"{name} that nobody signed is accepted"
        verify(quote, dataclasses.replace(good, tcb_info_issuer_chain=text))
        try:
            verify(quote, Collateral.from_json(raw))
        except CollateralError:
            continue


if __name__ == "__main__":
    run(one_input, SEEDS, seconds=0.3)  # fourteen verifications each
