"""Invariant: any bytes are parsed or refused with EvidenceError, and what parses has one reading.

A parsed commit or tag contains its payload unchanged, apart from its armor; no changed commit or tag whose
payload differs from the seed's verifies. Run with atheris where installed, or ``python -m fuzz.fuzz_gitobject
--runs 20000 [--seed 1]`` for a plain mutation loop.
"""

from __future__ import annotations

from conformance import gitsmith as smith
from fuzz.mutate import run
from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import Tag, extract_mergetags, parse_object
from marbleops.approval.signed import verify_object
from marbleops.approval.sshkey import parse_public_key
from marbleops.approval.statement import read_approval, read_key_proof
from marbleops.approval.tree import parse_tree

ALICE = smith.key("alice")
LINE = f"Approve-Manifest: sha256:{'0' * 64} by alice"
KEYS = [parse_public_key(ALICE.public_line())]
TAG = smith.make_tag("b" * 40, "v1", "alice", f"Yes\n\n{LINE}\n", ALICE)
FOLDED = "mergetag " + TAG.decode().removesuffix("\n").replace("\n", "\n ")
SEEDS = [
    smith.make_commit("a" * 40, ["b" * 40], "alice", f"Raise\n\n{LINE}\n", ALICE),
    smith.make_commit("a" * 40, [], "alice", "Merge\n", ALICE, headers=["encoding UTF-8", FOLDED]),
    smith.make_commit("a" * 40, [], "alice", "", committer="bob"),
    TAG,
    *smith.make_path("envs/prod/manifest.json", b"{}")[1],
]
SIGNED = {parse_object(seed).payload for seed in SEEDS[:4]}


def one_input(raw: bytes) -> None:
    try:
        entries = parse_tree(raw)
    except EvidenceError:
        pass
    else:
        assert smith.make_tree([(entry.mode, entry.name, entry.id) for entry in entries]) == raw
    try:
        parsed = parse_object(raw)
    except EvidenceError:
        return
    assert parsed.raw == raw
    if parsed.armor is None:
        assert parsed.payload == raw
    elif isinstance(parsed, Tag):
        assert parsed.payload + parsed.armor.encode() == raw
    else:
        assert len(parsed.payload) + len("gpgsig ") + len(parsed.armor) < len(raw)
        assert extract_mergetags(parsed.raw) is not None
    for read in (read_approval, read_key_proof):
        try:
            read(parsed.message)
        except EvidenceError:
            continue
    try:
        verify_object(raw, keys=KEYS, require_user_presence=False)
    except EvidenceError:
        return
    assert parsed.payload in SIGNED, "a payload that nobody signed verifies"


if __name__ == "__main__":
    run(one_input, SEEDS)
