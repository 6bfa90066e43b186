"""Good signatures verify, each single change breaks them, and each refusal has its own word."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith as smith
from marbleops.approval.armor import decode_ssh_armor
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_ARMOR_CHARS
from marbleops.approval.reasons import Reason
from marbleops.approval.signed import verify_detached, verify_object
from marbleops.approval.sshkey import PublicKey, parse_public_key
from marbleops.approval.sshsig import NAMESPACE_GIT, NAMESPACE_STATEMENT, parse_armor, verify

MESSAGE = b"the signed text\n"
ALICE = smith.key("alice")


def public(key: smith.Key) -> PublicKey:
    return parse_public_key(key.public_line())


def check(armor: str, key: smith.Key = ALICE, *, message: bytes = MESSAGE, presence: bool = False) -> None:
    verify(
        parse_armor(armor),
        message=message,
        key=public(key),
        namespace=NAMESPACE_GIT,
        require_user_presence=presence,
    )


def reason_of(
    armor: str, key: smith.Key = ALICE, *, message: bytes = MESSAGE, presence: bool = False
) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        check(armor, key, message=message, presence=presence)
    return caught.value.reason


@pytest.mark.parametrize("kind", smith.KINDS)
@pytest.mark.parametrize("hash_algorithm", ["sha256", "sha512"])
def test_a_good_signature_verifies(kind: str, hash_algorithm: str) -> None:
    key = smith.key("alice", kind)
    armor = key.sign(MESSAGE, hash_algorithm=hash_algorithm)

    check(armor, key)
    assert reason_of(armor, key, message=MESSAGE + b"x") is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("kind", smith.KINDS)
def test_signing_is_deterministic(kind: str) -> None:
    """Fixtures and conformance cases depend on it."""
    assert smith.key("alice", kind).sign(MESSAGE) == smith.key("alice", kind).sign(MESSAGE)


@pytest.mark.parametrize("kind", smith.KINDS)
def test_another_key_of_the_same_kind_is_not_this_key(kind: str) -> None:
    assert reason_of(smith.key("bob", kind).sign(MESSAGE), smith.key("alice", kind)) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("kind", smith.KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_no_changed_bit_verifies(kind: str, data: st.DataObject) -> None:
    """Flipping any single bit of the blob gives another answer than 'good'."""
    key = smith.key("alice", kind)
    blob = bytearray(key.sign_blob(MESSAGE))
    at = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[at // 8] ^= 1 << at % 8

    with pytest.raises(EvidenceError):
        check(smith.wrap(bytes(blob)), key)


@pytest.mark.parametrize("namespace", ["file", "Git", "git ", NAMESPACE_STATEMENT])
def test_the_namespace_is_exact(namespace: str) -> None:
    assert reason_of(ALICE.sign(MESSAGE, namespace)) is Reason.WRONG_NAMESPACE


@pytest.mark.parametrize("kind", ["sk-ed25519", "sk-ecdsa"])
@pytest.mark.parametrize("flags", [0x00, 0x04, 0x80])
def test_nobody_touched_the_key(kind: str, flags: int) -> None:
    """Verification (0x04) without presence is none; the rule holds without RequireUserPresence too."""
    key = smith.key("alice", kind, flags=flags)

    assert reason_of(key.sign(MESSAGE), key) is Reason.USER_PRESENCE_MISSING


@pytest.mark.parametrize("kind", ["sk-ed25519", "sk-ecdsa"])
@pytest.mark.parametrize("flags", [0x01, 0x05])
def test_somebody_touched_the_key(kind: str, flags: int) -> None:
    key = smith.key("alice", kind, flags=flags, counter=2**32 - 1)

    check(key.sign(MESSAGE), key, presence=True)


@pytest.mark.parametrize("kind", ["sk-ed25519", "sk-ecdsa"])
def test_presence_cannot_be_added_afterwards(kind: str) -> None:
    """The flags are signed: setting the bit in transit breaks the signature."""
    untouched, touched = smith.key("alice", kind, flags=0), smith.key("alice", kind)
    raw = bytearray(untouched.sign_raw(MESSAGE))
    raw[-5] = 1

    assert (
        reason_of(smith.wrap(smith.join_sshsig(untouched.blob, bytes(raw))), touched) is Reason.BAD_SIGNATURE
    )


@pytest.mark.parametrize("kind", [kind for kind in smith.KINDS if not kind.startswith("sk-")])
def test_other_keys_cannot_show_presence(kind: str) -> None:
    key = smith.key("alice", kind)

    assert reason_of(key.sign(MESSAGE), key, presence=True) is Reason.USER_PRESENCE_MISSING


def test_an_rsa_signature_names_its_hash() -> None:
    """The algorithm of the signature, not of the key, decides; SHA-1 and a swapped name are refused."""
    key = smith.key("alice", "rsa")
    raw = key.sign_raw(MESSAGE)
    for name, reason in (
        (b"rsa-sha2-256", Reason.BAD_SIGNATURE),
        (b"ssh-rsa", Reason.MALFORMED_SIGNATURE),
        (b"rsa-sha2-384", Reason.MALFORMED_SIGNATURE),
    ):
        swapped = smith.string(name) + raw[4 + len("rsa-sha2-512") :]
        assert reason_of(smith.wrap(smith.join_sshsig(key.blob, swapped)), key) is reason


@pytest.mark.parametrize("made", [bytes(255), bytes(257), b"", b"\0" + bytes(256)])
def test_an_rsa_signature_is_as_long_as_the_modulus(made: bytes) -> None:
    key = smith.key("alice", "rsa")
    raw = smith.string(b"rsa-sha2-512") + smith.string(made)

    assert reason_of(smith.wrap(smith.join_sshsig(key.blob, raw)), key) is Reason.MALFORMED_SIGNATURE


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (smith.mpint(1) + smith.mpint(1), Reason.BAD_SIGNATURE),
        (smith.mpint(2**300) + smith.mpint(1), Reason.BAD_SIGNATURE),
        (smith.string(b"\0") + smith.mpint(1), Reason.MALFORMED_SIGNATURE),
        (smith.string(b"") + smith.mpint(1), Reason.MALFORMED_SIGNATURE),
        (smith.string(b"\0\x01") + smith.mpint(1), Reason.MALFORMED_SIGNATURE),
        (smith.string(b"\x80") + smith.mpint(1), Reason.MALFORMED_SIGNATURE),
        (smith.mpint(1), Reason.MALFORMED_SIGNATURE),
        (smith.mpint(1) + smith.mpint(1) + b"\0", Reason.MALFORMED_SIGNATURE),
    ],
)
def test_an_ecdsa_pair_is_two_canonical_numbers(pair: bytes, reason: Reason) -> None:
    key = smith.key("alice", "ecdsa-256")
    raw = smith.string(b"ecdsa-sha2-nistp256") + smith.string(pair)

    assert reason_of(smith.wrap(smith.join_sshsig(key.blob, raw)), key) is reason


@pytest.mark.parametrize("kind", smith.KINDS)
def test_nothing_follows_a_signature(kind: str) -> None:
    key = smith.key("alice", kind)
    longer = smith.join_sshsig(key.blob, key.sign_raw(MESSAGE) + b"\0")

    assert reason_of(smith.wrap(longer), key) is Reason.MALFORMED_SIGNATURE


@pytest.mark.parametrize("width", [1, 64, 70, 76, 1000])
def test_the_armor_may_wrap_anywhere(width: int) -> None:
    """OpenSSH wraps at 70, PEM writers at 64; the bytes are the same."""
    check(smith.wrap(ALICE.sign_blob(MESSAGE), width=width))


def test_the_final_line_feed_is_optional() -> None:
    """Git cuts it when it folds the armor into a header."""
    check(ALICE.sign(MESSAGE).removesuffix("\n"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\n" + text,
        lambda text: text + "\n",
        lambda text: text + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " \n", 1),
        lambda text: text.replace("BEGIN", "begin"),
        lambda text: text.replace("END SSH", "END PGP"),
        lambda text: text.replace("-----BEGIN", " -----BEGIN"),
        lambda text: text.replace("=", ""),
        lambda text: text.replace("U1NI", "U1N\u0418", 1),
        lambda _: "",
        lambda _: "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        lambda _: smith.wrap(b"SSHSIG"),
        lambda _: smith.wrap(b"sshsig" + bytes(40)),
    ],
)
def test_the_armor_has_one_form(change: object) -> None:
    assert callable(change)
    assert reason_of(change(ALICE.sign(MESSAGE))) is Reason.MALFORMED_SIGNATURE


def test_an_armor_has_a_length() -> None:
    assert reason_of("x" * (MAX_ARMOR_CHARS + 1)) is Reason.TOO_LARGE


@pytest.mark.parametrize("label", ["PGP SIGNATURE", "PGP MESSAGE", "SIGNED MESSAGE"])
def test_other_formats_are_unsupported(label: str) -> None:
    armor = f"-----BEGIN {label}-----\n\nAAAA\n-----END {label}-----\n"

    assert reason_of(armor) is Reason.UNSUPPORTED_KEY_TYPE


@settings(max_examples=15)
@given(blob=st.binary(max_size=200))
def test_any_blob_is_parsed_or_refused(blob: bytes) -> None:
    for attempt in (blob, b"SSHSIG\0\0\0\1" + blob, smith.join_sshsig(ALICE.blob, blob)):
        with pytest.raises(EvidenceError):
            check(smith.wrap(attempt))


@settings(max_examples=15)
@given(text=st.text(max_size=100))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        check(text)


@settings(max_examples=15)
@given(blob=st.binary(min_size=1, max_size=300))
def test_the_armor_round_trips(blob: bytes) -> None:
    assert decode_ssh_armor(smith.wrap(blob)) == blob
    assert base64.b64encode(blob).decode() in smith.wrap(blob).replace("\n", "")


def test_the_key_that_signed_is_found_among_all() -> None:
    """The order of the listed keys does not matter, and the verdict names the one that signed."""
    keys = [public(smith.key("alice", kind)) for kind in smith.KINDS]
    raw = smith.make_commit("a" * 40, [], "alice", "m\n", smith.key("alice", "ecdsa-384"))

    for order in (keys, keys[::-1]):
        found = verify_object(raw, keys=order, require_user_presence=False)
        assert found.key.algorithm == "ecdsa-sha2-nistp384"


def test_a_git_signature_is_no_statement_and_a_statement_no_git_signature() -> None:
    """The namespaces keep the two apart in both directions."""
    payload = smith.make_commit("a" * 40, [], "alice", "m\n")
    crossed = smith.add_commit_signature(payload, ALICE.sign(payload, NAMESPACE_STATEMENT))

    with pytest.raises(EvidenceError) as commit:
        verify_object(crossed, keys=[public(ALICE)], require_user_presence=False)
    with pytest.raises(EvidenceError) as detached:
        verify_detached(
            ALICE.sign(MESSAGE), message=MESSAGE, keys=[public(ALICE)], require_user_presence=False
        )

    assert commit.value.reason is detached.value.reason is Reason.WRONG_NAMESPACE


def test_no_keys_no_verdict() -> None:
    """An empty list of keys refuses everything."""
    with pytest.raises(EvidenceError) as caught:
        verify_detached(ALICE.sign(MESSAGE), message=MESSAGE, keys=[], require_user_presence=False)

    assert caught.value.reason is Reason.UNKNOWN_KEY
