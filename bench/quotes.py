"""Quote verifications per second, against dcap-qvl over the same quote and collateral."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable  # noqa: TC003
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl

from bench.report import Row
from marbleops.attestation.cache import QuoteVerifier
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = 2.0
OE_HEADER = 16


def _rate(work: Callable[[], object]) -> float:
    work()
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        work()
        done += 1
    return done / (time.perf_counter() - begin)


def run() -> list[Row]:
    """Measure dcap-qvl, ours from scratch, and ours with remembered collateral."""
    with tempfile.TemporaryDirectory(prefix="mo-bench-") as folder:
        platform = SimulationPlatform.create(Path(folder) / "platform", at=AT, seed=b"bench".ljust(32, b"."))
        identity = EnclaveIdentity(
            unique_id=b"\x11" * 32, signer_id=b"\x22" * 32, product_id=1, security_version=1, debug=False
        )
        quote = platform.issuer(identity).quote(b"\x33" * 32)
        collateral, anchors = platform.collateral(), platform.anchors()
        theirs = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
        raw, root, now = quote[OE_HEADER:], platform.anchor_der, int(AT.timestamp())

        peer = _rate(lambda: dcap_qvl.verify_with_root_ca(raw, theirs, root, now))
        scratch = _rate(lambda: verify_quote(quote, collateral, anchors=anchors, at=AT))
        verifier = QuoteVerifier(anchors)
        cached = _rate(lambda: verifier.verify(quote, collateral, at=AT))
        issued = _rate(lambda: platform.issuer(identity).quote(b"\x33" * 32))
    return [
        Row("quotes verified a second: dcap-qvl (Rust)", f"{peer:.0f}", ""),
        Row("  ours, everything checked each time", f"{scratch:.0f}", f"{scratch / peer:.2f} x dcap-qvl"),
        Row("  ours, collateral remembered by content", f"{cached:.0f}", f"{cached / peer:.2f} x dcap-qvl"),
        Row("simulated quotes issued a second", f"{issued:.0f}", f"{issued / peer:.2f} x"),
    ]
