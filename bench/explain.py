"""What ``attest explain`` takes, from the start of the program to its end; the goal is 150 ms."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Row
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUNS = 20
IDENTITY = EnclaveIdentity(
    unique_id=b"\x11" * 32, signer_id=b"\x22" * 32, product_id=7, security_version=3, debug=False
)


def _times(*command: str) -> tuple[float, float]:
    """Return the shortest and the median time of a command, in milliseconds."""
    taken = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append((time.perf_counter() - begin) * 1000)
    return min(taken), statistics.median(taken)


def run() -> list[Row]:
    """Measure the program on a quote with collateral, and beside it an interpreter that does nothing."""
    with tempfile.TemporaryDirectory() as name:
        platform = SimulationPlatform.create(Path(name) / "machine", at=AT, seed=b"e" * 32)
        quote = Path(name) / "quote"
        quote.write_bytes(platform.issuer(IDENTITY).quote(b"bench"))
        program = str(Path(sys.executable).with_name("marbleops"))
        trust = ("--root", str(platform.directory / "anchor.der"), "--at", AT.isoformat())
        collateral = str(platform.directory / "collateral.json")
        best, usual = _times(program, "attest", "explain", str(quote), "--collateral", collateral, *trust)
    nothing, _ = _times(sys.executable, "-c", "pass")
    return [
        Row(
            "attest explain, start-up included, ms: shortest", f"{best:.0f}", f"{best / nothing:.1f} x python"
        ),
        Row("  median", f"{usual:.0f}", f"goal 150, python alone {nothing:.0f}"),
    ]
