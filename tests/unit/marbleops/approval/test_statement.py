"""A statement is one exact line in the last paragraph, and the only one that looks like one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith as smith
from marbleops.approval.errors import EvidenceError
from marbleops.approval.reasons import Reason
from marbleops.approval.statement import (
    Approval,
    KeyProof,
    approval_line,
    approval_statement,
    key_proof_line,
    key_proof_statement,
    last_paragraph,
    read_approval,
    read_key_proof,
)
from marbleops.manifest.digest import Digest

DIGEST = Digest.of(b"manifest")
LINE = approval_line(DIGEST, "alice")
FINGERPRINT = smith.key("alice").fingerprint
PROOF = key_proof_line(fingerprint=FINGERPRINT, lineage="shop-prod", user="alice")
USERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True)
PROSE = st.text(alphabet=string.ascii_letters + " \n\t:-", max_size=80).filter(
    lambda text: not any(word in text.lower() for word in ("approve-m", "prove-k", "withdraw-m", "revoke-k"))
)


def reason_of(message: str) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        read_approval(message)
    return caught.value.reason


@settings(max_examples=15)
@given(before=PROSE, user=USERS, blank=st.integers(0, 3), raw=st.binary())
def test_an_approval_round_trips(before: str, user: str, blank: int, raw: bytes) -> None:
    """Whatever stands in the paragraphs before, the line in the last one is read."""
    digest = Digest.of(raw)
    message = f"{before}\n\n{approval_line(digest, user)}\n" + "\n" * blank

    assert read_approval(message) == Approval(digest=digest, user=user)


@settings(max_examples=15)
@given(message=st.text(max_size=200))
def test_any_message_is_read_or_refused(message: str) -> None:
    for text in (message, f"{message}\n{LINE}", f"{LINE}\n{message}", f"{LINE}{message}"):
        try:
            said = read_approval(text)
        except EvidenceError:
            continue
        assert said is None or (approval_line(said.digest, said.user) in text.split("\n"))


@pytest.mark.parametrize(
    "message", ["", "\n", "Raise\n", f"Raise\n\n {LINE}\n", f"> {LINE}\n", f"Re-{LINE}\n"]
)
def test_no_line_that_starts_like_one_is_no_approval(message: str) -> None:
    """Quoted and indented lines are prose."""
    assert read_approval(message) is None


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n \n\t\n"])
def test_the_end_of_the_message_does_not_matter(ending: str) -> None:
    assert read_approval(f"Raise\n\n{LINE}{ending}") == Approval(digest=DIGEST, user="alice")


def test_a_message_of_one_line_is_its_last_paragraph() -> None:
    assert read_approval(LINE) == Approval(digest=DIGEST, user="alice")
    assert last_paragraph("a\n\nb\nc\n \n") == ("b", "c")
    assert last_paragraph("\n \n") == ()


@pytest.mark.parametrize("first", ["approve-manifest:", "APPROVE-MANIFEST: no", LINE, "Approve-Manifest:x"])
@pytest.mark.parametrize("layout", ["{first}\n\n{line}\n", "{line}\n{first}\n", "{line}\n\n{first}\n"])
def test_two_such_lines_are_ambiguous(first: str, layout: str) -> None:
    assert reason_of(layout.format(first=first, line=LINE)) is Reason.TRAILER_AMBIGUOUS


@pytest.mark.parametrize("tail", ["Thanks", "Signed-off-by: a", "-- "])
def test_before_the_last_paragraph_it_does_not_count(tail: str) -> None:
    for blank in ("\n", " \n", "\t\n"):
        assert reason_of(f"Raise\n\n{LINE}\n{blank}{tail}\n") is Reason.TRAILER_MISSING


@pytest.mark.parametrize(
    "line",
    [
        LINE + " ",
        LINE + "\t",
        LINE + "\u2028",
        LINE + "\v",
        LINE.replace(": ", ":"),
        LINE.replace(": ", ":  "),
        LINE.replace(" by ", "  by "),
        LINE.replace("by", "By"),
        LINE.replace("alice", ""),
        LINE.replace("alice", "-alice"),
        LINE.replace("alice", "al ice"),
        LINE.replace("alice", "\u0430lice"),
        LINE.replace("alice", "a" * 65),
        LINE.replace("sha256", "sha512"),
        LINE.replace(DIGEST.hex, DIGEST.hex[:-1]),
        LINE.replace(DIGEST.hex, DIGEST.hex + "0"),
        LINE.replace(DIGEST.hex, DIGEST.hex.upper()),
        LINE.replace("Approve", "approve"),
    ],
)
def test_the_form_is_exact(line: str) -> None:
    assert reason_of(f"Raise\n\n{line}\n") is Reason.TRAILER_MISSING


@pytest.mark.parametrize("word", ["Withdraw-Manifest:", "revoke-key:", "REVOKE-KEY: x"])
def test_withdrawals_and_revocations_have_another_call(word: str) -> None:
    """They are recognised beside an approval too: whoever withdraws does not approve."""
    for message in (word, f"Stop\n\n{word}\n", f"{word}\n\n{LINE}\n", f"{PROOF}\n{word}\n"):
        assert reason_of(message) is Reason.UNSUPPORTED_STATEMENT
        with pytest.raises(EvidenceError, match="unsupported-statement"):
            read_key_proof(message)


def test_a_key_proof_round_trips_and_is_no_approval() -> None:
    message = f"My new key\n\n{PROOF}\n"

    assert read_key_proof(message) == KeyProof(fingerprint=FINGERPRINT, lineage="shop-prod", user="alice")
    assert read_approval(message) is None
    assert read_key_proof(LINE) is None


@pytest.mark.parametrize(
    "message",
    [
        PROOF.replace("SHA256:", "MD5:"),
        PROOF.replace("lineage", "for"),
        PROOF + "=",
        PROOF.replace("alice", ""),
        f"{PROOF}\n\nThanks\n",
    ],
)
def test_a_key_proof_is_exact(message: str) -> None:
    with pytest.raises(EvidenceError, match="trailer-missing"):
        read_key_proof(message)


def test_the_detached_texts_are_as_specified() -> None:
    """These bytes are what people sign with ssh-keygen; they never change within a rules version."""
    approval = approval_statement(lineage="shop-prod", version=42, digest=DIGEST, user="carol")
    proof = key_proof_statement(fingerprint=FINGERPRINT, lineage="shop-prod", user="carol")

    assert approval.decode() == (
        f"marbleops approval v1\nlineage: shop-prod\nversion: 42\nmanifest: {DIGEST}\nuser: carol\n"
    )
    assert proof.decode() == f"marbleops key proof v1\nkey: {FINGERPRINT}\nlineage: shop-prod\nuser: carol\n"
