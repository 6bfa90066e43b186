"""Quote verifications per second, SGX and TDX, against dcap-qvl over the same quotes and collateral."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable  # noqa: TC003
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl

from bench.report import Row
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.collateral import Collateral  # noqa: TC001
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.platform.base import EnclaveIdentity, TdIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.verdict import Code, Tee

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = 0.5
ROUNDS = 4
OE_HEADER = 16


def _rates(*works: Callable[[], object]) -> list[float]:
    """Run the contenders in turns, so that a busy machine slows all of them, and give the best rate of each."""
    best = [0.0] * len(works)
    for _ in range(ROUNDS):
        for index, work in enumerate(works):
            work()
            done, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < SECONDS:
                work()
                done += 1
            best[index] = max(best[index], done / (time.perf_counter() - begin))
    return best


def _verify(label: str, quote: bytes, collateral: Collateral, root: bytes) -> list[Row]:
    anchors = Anchors.simulation(root)
    verifier = QuoteVerifier(anchors)
    theirs, now = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json()), int(AT.timestamp())
    assert verifier.verify(quote, collateral, at=AT).code is Code.OK
    peer, cold, warm = _rates(
        lambda: dcap_qvl.verify_with_root_ca(quote, theirs, root, now),
        lambda: verify_quote(quote, collateral, anchors=anchors, at=AT),
        lambda: verifier.verify(quote, collateral, at=AT),
    )
    return [
        Row(f"{label} verified a second: dcap-qvl (Rust)", f"{peer:.0f}", ""),
        Row("  ours, cold: everything checked each time", f"{cold:.0f}", f"{cold / peer:.2f} x dcap-qvl"),
        Row("  ours, warm: collateral remembered by content", f"{warm:.0f}", f"{warm / peer:.2f} x dcap-qvl"),
    ]


def run() -> list[Row]:
    """Measure dcap-qvl, ours from scratch, and ours with remembered collateral."""
    with tempfile.TemporaryDirectory(prefix="mo-bench-") as folder:
        platform = SimulationPlatform.create(Path(folder) / "platform", at=AT, seed=b"bench".ljust(32, b"."))
        identity = EnclaveIdentity(
            unique_id=b"\x11" * 32, signer_id=b"\x22" * 32, product_id=1, security_version=1, debug=False
        )
        domain = platform.td_issuer(TdIdentity(mr_td=b"\x44" * 48))
        td_collateral = platform.stage_collateral(at=AT, tee=Tee.TDX)
        root, data = platform.anchor_der, b"\x33" * 32
        raw = platform.issuer(identity).quote(data)[OE_HEADER:]
        rows = _verify("SGX quotes", raw, platform.collateral(), root)
        rows += _verify("TDX quotes", domain.quote(data), td_collateral, root)
        (issued,) = _rates(lambda: platform.issuer(identity).quote(data))
    return [*rows, Row("simulated SGX quotes issued a second", f"{issued:.0f}", "")]
