"""Invariant: any bytes get a verdict, and only a report that was really signed is ever accepted.

The first byte of an input says whether the rest is a report, or a certificate table to verify a good report
with. Run with atheris where installed, or ``python -m fuzz.fuzz_snp --runs 20000 [--seed 1]``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from datetime import UTC, datetime

from fuzz.mutate import run
from marbleops.attestation.cache import BoundedMemo
from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.endorsements import (
    ARK_GUID,
    ASK_GUID,
    CRL_GUID,
    VCEK_GUID,
    SnpEndorsements,
    write_table,
)
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.verify import recognises, verify_snp

AT = datetime(2026, 6, 1, tzinfo=UTC)
MACHINE = SoftSnp(seed=b"fuzz".ljust(32, b"."))
ANCHORS = MACHINE.anchors()
FILES = MACHINE.files(at=AT)
ENDORSEMENTS = MACHINE.endorsements(at=AT)
GUEST = SnpGuest(measurement=b"\x11" * 48)
REPORTS = [MACHINE.report(replace(GUEST, version=version), b"key") for version in (2, 3, 4, 5)]
TABLE = write_table(
    (guid, FILES[name])
    for guid, name in (
        (VCEK_GUID, "vcek.der"),
        (ASK_GUID, "ask.der"),
        (ARK_GUID, "ark.der"),
        (CRL_GUID, "crl.der"),
    )
)
CLAIMS = b'{"keys":[]}'
WRAPPED = MACHINE.report(GUEST, hashlib.sha256(CLAIMS).digest())
HCL = b"".join(
    (
        b"HCLA",
        struct.pack("<7I", 2, 1236 + len(CLAIMS), 2, 0, 0, 0, 0),
        WRAPPED,
        struct.pack("<5I", 20 + len(CLAIMS), 1, 2, 1, len(CLAIMS)),
        CLAIMS,
    )
)
ANY = SnpPolicy(allow_debug=True, allow_migration=True, accept_hcl=True)
MEMO = BoundedMemo(64)
SEEDS = [*(b"r" + report for report in (*REPORTS, HCL)), b"t" + TABLE]


def one_input(raw: bytes) -> None:
    if raw[:1] == b"t":
        try:
            endorsements = SnpEndorsements.from_table(raw[1:])
        except CollateralError:
            return
        evidence = REPORTS[0]
    else:
        evidence, endorsements = raw[1:], ENDORSEMENTS
    recognises(evidence)
    verdict = verify_snp(evidence, endorsements, anchors=ANCHORS, at=AT, policy=ANY, memo=MEMO)
    assert verdict.checks[-1].ok == verdict.accepted
    if evidence.startswith(b"HCLA"):
        signed = evidence[32 : 32 + 0x4A0] == WRAPPED and verdict.custom_claims == CLAIMS
    else:
        signed = evidence[:0x4A0] in REPORTS and not any(evidence[0x4A0:])
    assert not verdict.accepted or signed, "a report that nobody signed is accepted"


if __name__ == "__main__":
    run(one_input, SEEDS)
