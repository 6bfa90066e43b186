"""The public history is one chain of exact bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from marbleops.approval.decision import CountedApproval
from marbleops.approval.deployment import deployment_id
from marbleops.approval.floors import Floors
from marbleops.approval.record import (
    Assertion,
    ChainError,
    PublicRecord,
    decode_record,
    encode_record,
    head_message,
    last_signed,
    record_hash,
    verify_chain,
)
from marbleops.manifest.digest import Digest

D = Digest.of
DEPLOYMENT = D(b"deployment")
FIRST = PublicRecord(
    position=0,
    previous=None,
    kind="genesis",
    manifest=D(b"1"),
    version=1,
    deployment=DEPLOYMENT,
    rules_version=1,
    change_class="genesis",
    weakens=("Packages.a: a debug enclave may run",),
    approvals=(CountedApproval(user="alice", kind="tag", fingerprint="SHA256:x", payload_digest=D(b"p")),),
    floors=Floors(names={"a": 1}, identities={("aa", 1): 1}),
    attested={("a", "aa", 1): 2},
    revoked=("SHA256:y",),
    evidence=(D(b"e"),),
    effects=D(b"effects"),
)


def chain(*changes: dict[str, object]) -> list[bytes]:
    encoded = [encode_record(FIRST)]
    for number, change in enumerate(({}, *changes), start=1):
        values = {
            "position": number,
            "previous": record_hash(encoded[-1]),
            "kind": "update",
            "version": number + 1,
            "manifest": D(str(number).encode()),
            **change,
        }
        encoded.append(encode_record(replace(FIRST, **values)))  # type: ignore[arg-type]
    return encoded


def test_encode_and_decode_are_inverse() -> None:
    """Clients see the record that the Coordinator wrote."""
    assert decode_record(encode_record(FIRST)) == FIRST


def test_a_chain_verifies_from_the_start_and_from_a_kept_head() -> None:
    """A client that kept a head asks for what follows it only."""
    encoded = chain({}, {})
    assert [record.version for record in verify_chain(encoded)] == [1, 2, 3, 4]
    kept = record_hash(encoded[1])
    assert len(verify_chain(encoded[2:], first_position=2, previous=kept)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"position": 9},
        {"previous": D(b"another")},
        {"previous": None},
        {"kind": "genesis"},
        {"rules_version": 0},
        {"deployment": D(b"another")},
        {"version": 9},
    ],
)
def test_what_does_not_follow_is_refused(change: dict[str, object]) -> None:
    """Gaps, forks, other deployments and falling rules versions break the chain."""
    with pytest.raises(ChainError):
        verify_chain(chain(change))


def test_the_rules_version_never_falls() -> None:
    """A later record may not be judged by older rules."""
    with pytest.raises(ChainError, match="rules version"):
        verify_chain(chain({"rules_version": 2}, {"rules_version": 1}))


def test_a_cut_chain_does_not_start_in_the_middle() -> None:
    """Only record 0 has no predecessor."""
    with pytest.raises(ChainError):
        verify_chain(chain()[1:])
    with pytest.raises(ChainError):
        verify_chain([], first_position=0) or verify_chain(chain()[:1], first_position=1)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        encode_record(FIRST) + b" ",
        encode_record(FIRST).replace(b'"kind":"genesis"', b'"kind":"other"'),
        encode_record(FIRST).replace(b'"position":0', b'"position":0,"position":0'),
        encode_record(FIRST).replace(b'"version":1', b'"version":true'),
        b"[" * 100_000,
    ],
)
def test_records_are_read_strictly(bad: bytes) -> None:
    """One form only, so that one hash means one record."""
    with pytest.raises(ChainError):
        decode_record(bad)


def test_heads_and_ids_bind_what_they_name() -> None:
    """Another deployment, position or head is another message; another key or genesis another id."""
    messages = {
        head_message(deployment=deployment, position=position, head=head)
        for deployment in (None, DEPLOYMENT)
        for position in (0, 1)
        for head in (D(b"a"), D(b"b"))
    }
    assert len(messages) == 8
    assert all(message.startswith(b"marbleops/history-head/v1\0") for message in messages)
    ids = {deployment_id(key, genesis) for key in (b"k", b"l") for genesis in (D(b"a"), D(b"b"))}
    assert len(ids) == 4


SAM = Assertion(
    user="sam", certificate=D(b"certificate"), secrets=("db",), packages=(("a", 2),), proposal=D(b"next")
)


def test_secrets_written_leave_the_manifest_alone() -> None:
    """A transition by client certificate is chained, keeps version and manifest, and decides nothing."""
    written = {"kind": "secrets-set", "assertion": SAM, "approvals": (), "version": 2, "manifest": D(b"1")}
    encoded = chain(written)
    records = verify_chain(encoded)
    assert records[-1].assertion == SAM
    assert last_signed(records) == records[1]
    for change in ({"version": 3}, {"manifest": D(b"other")}):
        with pytest.raises(ChainError, match="changed the manifest"):
            verify_chain(chain({**written, **change}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "package-update", "assertion": SAM}, "in a deployment of signed commits"),
        ({"kind": "full-update", "assertion": SAM}, "in a deployment of signed commits"),
        ({"kind": "secrets-set"}, "asserted"),
        ({"assertion": SAM}, "asserted"),
        ({"kind": "manifest-set"}, "only be the first"),
    ],
)
def test_asserted_kinds_have_their_place(change: dict[str, object], words: str) -> None:
    """Where signed commits decide, a client certificate changes nothing but secrets."""
    with pytest.raises(ChainError, match=words):
        verify_chain(chain(change))


def test_a_plain_history_has_no_signed_update() -> None:
    """Nothing signed follows a manifest that was set MarbleRun's way."""
    first = replace(FIRST, kind="manifest-set", deployment=None, version=None)
    raised = replace(
        first, position=1, previous=record_hash(encode_record(first)), kind="package-update", assertion=SAM
    )
    assert verify_chain([encode_record(first), encode_record(raised)])[1].assertion == SAM
    signed = replace(raised, kind="update", assertion=None)
    with pytest.raises(ChainError, match="without signed commits"):
        verify_chain([encode_record(first), encode_record(signed)])
