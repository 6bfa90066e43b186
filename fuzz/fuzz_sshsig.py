"""Invariant: a changed signature blob or key line is refused with EvidenceError and never verifies.

Only the exact blob that a key made verifies (ECDSA's s -> n - s aside, which no bit flip reaches). Run with
atheris where installed, or ``python -m fuzz.fuzz_sshsig --runs 20000 [--seed 1]`` for a plain mutation loop.
"""

from __future__ import annotations

import base64

from conformance import gitsmith as smith
from fuzz.mutate import run
from marbleops.approval.errors import EvidenceError
from marbleops.approval.signed import verify_detached
from marbleops.approval.sshkey import parse_public_key

MESSAGE = b"the signed text\n"
SMITHS = [smith.key("alice", kind) for kind in smith.KINDS]
KEYS = [parse_public_key(key.public_line()) for key in SMITHS]
BLOBS = [key.sign_blob(MESSAGE, smith.STATEMENT) for key in SMITHS]
SEEDS = [*BLOBS, *(smith.wrap(blob).encode() for blob in BLOBS), *(key.blob for key in SMITHS)]


def one_input(raw: bytes) -> None:
    for armor in (smith.wrap(raw), raw.decode("latin-1")):
        try:
            verify_detached(armor, message=MESSAGE, keys=KEYS, require_user_presence=False)
        except EvidenceError:
            continue
        good = armor.replace("\n", "")
        assert good in {smith.wrap(blob).replace("\n", "") for blob in BLOBS}, "a forged signature verifies"
    for key in SMITHS:
        try:
            parsed = parse_public_key(f"{key.algorithm} {base64.b64encode(raw).decode()}")
        except EvidenceError:
            continue
        assert parsed.blob == raw


if __name__ == "__main__":
    run(one_input, SEEDS)
