"""Recovery secrets: how they are made, collected, refused and signed (marblerun-core 7)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coordinator.domain import envelope
from coordinator.domain.key_record import KeyFacts, decode_record, make_record
from coordinator.domain.recovery import (
    MAX_GUESSED_SECRETS,
    Found,
    KeyChange,
    RecoveryData,
    RecoveryProgress,
    changed,
    generate,
    recreated,
    xor,
)
from coordinator.domain.recovery_keys import check_signatures
from coordinator.errors import CorruptStateError, ManifestRefusedError, RecoveryRefusedError, SealError
from marbleops.manifest.parse import Strictness, parse
from tests.fakes.recovery_holders import NAMES, decrypt, public_pem, public_pems, sign
from tests.fakes.small_world import FakeEntropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from marbleops.manifest.model import Manifest

EC_KEY = (
    ec.derive_private_key(7, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def _made(count: int, threshold: int) -> tuple[KeyChange, list[bytes]]:
    change = generate(public_pems(count), threshold, random=FakeEntropy().bytes)
    return change, [decrypt(name, change.secrets[name]) for name in NAMES[:count]]


def _opens(key: bytes) -> Callable[[bytes], bool]:
    return key.__eq__


def _collect(
    progress: RecoveryProgress, secrets: Sequence[bytes], key: bytes
) -> tuple[list[int], Found | None]:
    told, found = [], None
    for secret in secrets:
        progress, remaining, found = progress.offer(secret, _opens(key))
        told.append(remaining)
    return told, found


@pytest.mark.parametrize(
    ("count", "threshold", "sharing", "used", "remaining"),
    [
        (1, 0, "single", 1, [0]),
        (3, 0, "xor", 3, [2, 1, 0]),
        (3, 3, "xor", 3, [2, 1, 0]),
        (3, 2, "shamir", 2, [2, 0]),
    ],
)
def test_every_sharing(count: int, threshold: int, sharing: str, used: int, remaining: list[int]) -> None:
    """The holders bring the key back in any order; what remains is told as MarbleRun tells it."""
    change, secrets = _made(count, threshold)
    assert change.data.sharing == sharing
    assert RecoveryData.from_json(change.data.to_json()) == change.data
    assert not any(secret.hex() in repr((change, change.data)) for secret in (*secrets, change.key))
    for order in itertools.permutations(secrets, used):
        told, found = _collect(RecoveryProgress(data=change.data), order, change.key)
        assert (told, found) == (remaining, Found(key=change.key, secrets=order))
        signed = {
            secret: sign(name, secret)
            for name, secret in zip(NAMES, secrets, strict=False)
            if secret in order
        }
        check_signatures(public_pems(count), threshold or count, signed)


def test_without_recovery_keys() -> None:
    """Nobody gets a secret, and nobody can recover."""
    change, _ = _made(0, 0)
    assert (change.secrets, len(change.key)) == ({}, 32)
    with pytest.raises(RecoveryRefusedError, match="no recovery keys"):
        RecoveryProgress(data=change.data).offer(change.key, _opens(change.key))


@pytest.mark.parametrize(("count", "threshold"), [(1, 0), (3, 0), (3, 2)])
def test_wrong_secrets_change_nothing(count: int, threshold: int) -> None:
    """A wrong, a used and a mis-sized secret are refused at once (A11), and the progress is kept."""
    change, secrets = _made(count, threshold)
    progress = RecoveryProgress(data=change.data)
    if count > 1:
        progress, _, _ = progress.offer(secrets[0], _opens(change.key))
    wrong = bytes(len(secrets[0]))
    for secret, words in (
        (wrong, "invalid or already used"),
        (wrong[:12], "invalid secret length"),
        *([(secrets[0], "already used")] if count > 1 else []),
    ):
        with pytest.raises(RecoveryRefusedError, match=words):
            progress.offer(secret, _opens(change.key))
    told, found = _collect(progress, secrets[1 if count > 1 else 0 :][: threshold or 3], change.key)
    assert (told[0 if threshold else -1], found is not None) == (0, True)


def test_lost_recovery_data() -> None:
    """Without recovery data the secrets are tried in every combination, garbage among them or not."""
    change, secrets = _made(3, 0)
    told, found = _collect(
        RecoveryProgress(data=None), [secrets[0], bytes(32), secrets[0], *secrets[1:]], change.key
    )
    assert told == [1, 1, 1, 1, 0]
    assert found is not None
    assert set(found.secrets) == set(secrets)
    assert recreated(found) == change.data
    single, secrets = _made(1, 0)
    told, found = _collect(RecoveryProgress(data=None), secrets, single.key)
    assert (told, recreated(found) if found else None) == ([0], single.data)


def test_guessing_is_bounded() -> None:
    """There is an end to what is remembered; shares cannot be guessed at all, as in MarbleRun (A10)."""
    many = tuple(bytes([n]) * 32 for n in range(MAX_GUESSED_SECRETS))
    with pytest.raises(RecoveryRefusedError, match="do not give the key"):
        RecoveryProgress(data=None, secrets=many).offer(bytes(31) + b"x", _opens(b""))
    with pytest.raises(RecoveryRefusedError, match="invalid secret length"):
        RecoveryProgress(data=None).offer(bytes(33), _opens(b""))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"a": "no PEM"}, "given PEM data is not a public key"),
        ({"a": public_pem("ann").replace("PUBLIC KEY", "CERTIFICATE")}, "given PEM data is not a public key"),
        ({"a": EC_KEY}, "unsupported type of public key"),
        ({"a": public_pem("ann").replace("MIIB", "MIIC")}, "cannot be read as a public key"),
        ({"a": public_pem("ann"), "b": public_pem("ann")}, "'a' and 'b' are the same key"),
    ],
)
def test_keys_that_cannot_be_used(keys: dict[str, str], words: str) -> None:
    """MarbleRun's words for PEM that is no RSA public key; one key twice would let one holder count twice."""
    with pytest.raises(ManifestRefusedError, match=f"generating recovery encryption key: .*{words}"):
        generate(keys, 0, random=FakeEntropy().bytes)


def test_signatures() -> None:
    """Each needed holder signs one secret; MarbleRun's words where that is not so."""
    keys = public_pems(3)
    a, b, c = (bytes([n]) * 32 for n in range(3))
    signed = {a: sign("ann", a), b: sign("ben", b), c: sign("cleo", c)}
    two = {one: signed[one] for one in (a, b)}
    check_signatures(keys, 3, signed)
    check_signatures(keys, 2, two)
    for needed, given, words in (
        (3, two, "recovery keys in manifest do not match the keys used for recovery: expected 3, got 2"),
        (3, signed | {c: b""}, 'no matching recovery key found for recovery public key "cleo"'),
        (2, signed, "recovery threshold in manifest does not match"),
        (2, two | {b: sign("ann", b)}, "no matching recovery public key found for recovery key"),
    ):
        with pytest.raises(RecoveryRefusedError, match=words):
            check_signatures(keys, needed, given)
    with pytest.raises(RecoveryRefusedError, match="expected 0, got 1"):
        check_signatures({}, 0, {a: b""})


def test_changed() -> None:
    """Another key, another name, another threshold; but 0 and all of them are the same (7.5)."""
    manifest = parse(b'{"Packages":{},"Marbles":{}}', strictness=Strictness.MARBLERUN)

    def with_keys(keys: dict[str, str], threshold: int) -> Manifest:
        config = replace(manifest.config, recovery_threshold=threshold)
        return replace(manifest, recovery_keys=keys, config=config)

    base = {"a": "1", "b": "2", "c": "3"}
    for keys, threshold, is_change in (
        (base, 3, False),
        (base, 2, True),
        (base | {"c": "4"}, 0, True),
        ({"a": "1", "b": "2"}, 0, True),
        ({"a": "1", "b": "2", "d": "3"}, 0, True),
    ):
        assert changed(with_keys(base, 0), with_keys(keys, threshold)) is is_change


def test_key_records() -> None:
    """A record gives the key before it to whoever has its own, and notices every change of its plain part."""
    key_id = envelope.key_id(b"k" * 32)
    facts = KeyFacts(key_id=key_id, policy="product", signed=False, recovery=_made(3, 2)[0].data)
    record = make_record(facts, b"k" * 32, b"p" * 32, salt=bytes(32))
    assert decode_record(record.encode()) == record
    assert record.previous(b"k" * 32) == b"p" * 32
    assert make_record(facts, b"k" * 32, None, salt=bytes(32)).previous(b"k" * 32) is None
    for altered in (
        replace(facts, signed=True),
        replace(facts, policy="unique"),
        replace(facts, recovery=None),
    ):
        with pytest.raises(SealError, match="was altered"):
            replace(record, facts=altered).previous(b"k" * 32)
    for encoded in (b"", b"{}", b"[]", record.encode().replace(b'"format":1', b'"format":2'), b"[" * 70_000):
        with pytest.raises(CorruptStateError):
            decode_record(encoded)
    for document in (None, {}, {"sharing": "xor", "needed": 9, "hashes": ["a"]}):
        with pytest.raises(CorruptStateError):
            RecoveryData.from_json(document)


def test_xor_of_nothing_new() -> None:
    """XOR is its own inverse."""
    assert xor([b"\x0f\xf0", b"\xff\xff", b"\xff\xff"]) == b"\x0f\xf0"
