"""Verifications of SEV-SNP reports per second: everything checked, and with certificates remembered."""

from __future__ import annotations

import time
from collections.abc import Callable  # noqa: TC003
from datetime import UTC, datetime

from bench.report import Row
from marbleops.attestation.cache import BoundedMemo
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.verify import verify_snp

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = 2.0


def _rate(work: Callable[[], object]) -> float:
    work()
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        work()
        done += 1
    return done / (time.perf_counter() - begin)


def run() -> list[Row]:
    """Measure from files to verdict, from parsed endorsements, and with the chain remembered."""
    machine = SoftSnp(seed=b"bench".ljust(32, b"."))
    report = machine.report(SnpGuest(measurement=b"\x11" * 48), b"\x33" * 32)
    files, endorsements, anchors = machine.files(at=AT), machine.endorsements(at=AT), machine.anchors()
    memo = BoundedMemo(16)
    cold = _rate(lambda: verify_snp(report, SnpEndorsements.from_files(files), anchors=anchors, at=AT))
    parsed = _rate(lambda: verify_snp(report, endorsements, anchors=anchors, at=AT))
    warm = _rate(lambda: verify_snp(report, endorsements, anchors=anchors, at=AT, memo=memo))
    return [
        Row("SEV-SNP reports verified a second: certificates read each time", f"{cold:.0f}", ""),
        Row(
            "  certificates read once, everything checked each time",
            f"{parsed:.0f}",
            f"{parsed / cold:.2f} x",
        ),
        Row("  certificates remembered by content", f"{warm:.0f}", f"{warm / cold:.2f} x"),
    ]
