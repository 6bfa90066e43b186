"""What a commit or tag says and what its signature covers, and every way of blurring that is refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith as smith
from marbleops.approval.errors import EvidenceError
from marbleops.approval.gitobject import (
    Commit,
    Tag,
    extract_mergetags,
    object_id,
    parse_commit,
    parse_object,
    parse_tag,
)
from marbleops.approval.limits import MAX_OBJECT_BYTES
from marbleops.approval.reasons import Reason
from marbleops.manifest.digest import Digest

TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
PARENT = "a" * 40
ALICE = smith.key("alice")
NAMES = st.text(alphabet=string.ascii_letters + string.digits, min_size=1, max_size=12)
MESSAGES = st.text(alphabet=st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=200)


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        parse_object(raw)
    return caught.value.reason


def test_a_commit_gives_back_its_parts() -> None:
    raw = smith.make_commit(TREE, [PARENT, "b" * 40], "alice", "Raise\n\nbody\n", ALICE, committer="bob")

    commit = parse_commit(raw)

    assert (commit.tree, commit.parents) == (TREE, (PARENT, "b" * 40))
    assert (commit.author.name, commit.author.email) == (b"Alice", b"alice@example.org")
    assert (commit.committer.name, commit.committer.when) == (b"Bob", b"1764000000 +0000")
    assert commit.message == "Raise\n\nbody\n"
    assert commit.armor is not None
    assert commit.armor.startswith("-----BEGIN SSH SIGNATURE-----\n")


def test_the_payload_is_the_commit_without_its_signature() -> None:
    """The identity of a commit is the digest of exactly these bytes, so it does not change with the armor."""
    unsigned = smith.make_commit(TREE, [], "alice", "Raise\n")
    signed = smith.add_commit_signature(unsigned, ALICE.sign(unsigned))

    commit = parse_commit(signed)

    assert commit.payload == unsigned
    assert commit.payload_digest == Digest.of(unsigned)
    assert parse_commit(unsigned).armor is None
    assert object_id("commit", signed) != object_id("commit", unsigned)


def test_a_tag_gives_back_its_parts() -> None:
    raw = smith.make_tag(PARENT, "approve/shop/2/alice", "alice", "Yes\n", ALICE)

    tag = parse_tag(raw)

    assert (tag.target, tag.target_type, tag.name, tag.message) == (
        PARENT,
        "commit",
        "approve/shop/2/alice",
        "Yes\n",
    )
    assert tag.tagger is not None
    assert tag.tagger.email == b"alice@example.org"
    assert tag.payload + (tag.armor or "").encode() == raw


def test_an_old_tag_without_tagger_parses() -> None:
    raw = f"object {PARENT}\ntype commit\ntag v0.1\n\nfirst\n".encode()

    assert parse_tag(raw).tagger is None


@settings(max_examples=15)
@given(author=NAMES, committer=NAMES, message=MESSAGES, parents=st.integers(0, 9), signed=st.booleans())
def test_commits_round_trip(author: str, committer: str, message: str, parents: int, *, signed: bool) -> None:
    """Whatever a message says, it comes back unchanged and never leaks into the headers."""
    ids = [f"{number:040x}" for number in range(parents)]
    raw = smith.make_commit(TREE, ids, author, message, ALICE if signed else None, committer=committer)

    commit = parse_object(raw)

    assert isinstance(commit, Commit)
    assert commit.message == message
    assert commit.parents == tuple(ids)
    assert commit.payload == smith.make_commit(TREE, ids, author, message, committer=committer)
    assert (commit.armor is not None) is signed


@settings(max_examples=15)
@given(name=NAMES, message=MESSAGES.filter(lambda text: "-----BEGIN" not in text), signed=st.booleans())
def test_tags_round_trip(name: str, message: str, *, signed: bool) -> None:
    whole = message if message.endswith("\n") or not signed else message + "\n"
    raw = smith.make_tag(PARENT, name, "alice", whole, ALICE if signed else None)

    tag = parse_object(raw)

    assert isinstance(tag, Tag)
    assert (tag.name, tag.message) == (name, whole)
    assert (tag.armor is not None) is signed


@settings(max_examples=15)
@given(raw=st.binary(max_size=300), at=st.integers(0, 900))
def test_any_bytes_are_parsed_or_refused(raw: bytes, at: int) -> None:
    """Hostile bytes end in an EvidenceError and in no other exception."""
    good = smith.make_commit(TREE, [PARENT], "alice", "Raise\n", ALICE)
    for attempt in (raw, good[:at] + raw + good[at:], b"object " + raw):
        try:
            parsed = parse_object(attempt)
        except EvidenceError:
            continue
        assert parsed.raw == attempt


@pytest.mark.parametrize(
    "header",
    [
        b"gpgsig x\n",
        b"gpgsig-sha256 x\n",
        b"GPGSIG x\n",
        b"gpgsigEVIL x\n",
        b"tree " + TREE.encode() + b"\n",
        b"Author x\n",
        b"committer Eve <e@x> 1 +0000\n",
        b"encoding ISO-8859-1\n",
        b"Encoding UTF-8\n",
        b"encoding UTF-8\n x\n",
        b"nospace\n",
        b" stray continuation\n",
        b"\x01ctl x\n",
    ],
)
def test_a_bad_header_is_refused_wherever_it_stands(header: bytes) -> None:
    """Every place between core headers and message, in front of the signature and behind it."""
    good = smith.make_commit(TREE, [PARENT], "alice", "Raise\n", ALICE)
    start, end = good.index(b"gpgsig"), good.index(b"\n\n") + 1

    for place in {start, end} if not header.startswith(b" ") else {0}:
        assert reason_of(good[:place] + header + good[place:]) is Reason.MALFORMED_OBJECT


@pytest.mark.parametrize("header", ["HG:extra source:1", "change-id abc", "mergetag object x", "x-y  "])
def test_unknown_headers_are_covered(header: str) -> None:
    raw = smith.make_commit(TREE, [], "alice", "Raise\n", ALICE, headers=[header])

    assert header.encode() in parse_commit(raw).payload


@pytest.mark.parametrize(
    "person",
    [
        "Alice alice@x 1 +0000",
        "Alice <a@x> +0000",
        "Alice <a@x> 1",
        "Al<ice <a@x> 1 +0000",
        "Alice <a<x> 1 +0000",
        "Alice <a@x>1 +0000",
        "Alice <a@x> 1 +0000 more",
        "Alice\n <a@x> 1 +0000",
        "Alice\r <a@x> 1 +0000",
    ],
)
def test_a_person_has_one_reading(person: str) -> None:
    raw = f"tree {TREE}\nauthor {person}\ncommitter A <a@x> 1 +0000\n\nm\n".encode()

    assert reason_of(raw) is Reason.MALFORMED_OBJECT


@pytest.mark.parametrize(
    "person", [" <a@x> 1 +0000", "<a@x> 1 +0000", "A <> 1 -0730", "A, B. (C) <a b> 99 +051800"]
)
def test_odd_persons_of_real_histories_parse(person: str) -> None:
    raw = f"tree {TREE}\nauthor {person}\ncommitter A <a@x> 1 +0000\n\nm\n".encode()

    assert parse_commit(raw).author.email in {b"a@x", b"", b"a b"}


def test_a_message_may_quote_an_armor_in_a_commit_but_not_in_a_tag() -> None:
    """A tag's signature stands in its text, where a second one would be ambiguous."""
    quoted = "Look:\n" + smith.key("mallory").sign(b"x")

    assert parse_commit(smith.make_commit(TREE, [], "alice", quoted, ALICE)).message == quoted
    assert reason_of(smith.make_tag(PARENT, "v1", "alice", quoted, ALICE)) is Reason.MALFORMED_OBJECT


@pytest.mark.parametrize("tail", [b"\n", b"x", b"\nx\n", b" "])
def test_nothing_follows_the_armor_of_a_tag(tail: bytes) -> None:
    raw = smith.make_tag(PARENT, "v1", "alice", "Yes\n", ALICE)

    assert reason_of(raw + tail) is Reason.MALFORMED_OBJECT


def test_junk_on_the_first_armor_line_of_a_tag_is_refused() -> None:
    """Git finds an armor by the start of its first line; the rest of that line would be unsigned."""
    raw = smith.make_tag(PARENT, "v1", "alice", "Yes\n", ALICE)

    assert (
        reason_of(raw.replace(b"SSH SIGNATURE-----\n", b"SSH SIGNATURE-----evil\n", 1))
        is Reason.MALFORMED_SIGNATURE
    )


def test_a_mergetag_comes_out_as_the_tag_it_was() -> None:
    tag = smith.make_tag(PARENT, "v1", "bob", "Signed\n\nbody\n", smith.key("bob"))
    folded = "mergetag " + tag.decode().removesuffix("\n").replace("\n", "\n ")
    words = "Merge\n\nmergetag no\n"
    merge = smith.make_commit(TREE, [PARENT], "alice", words, ALICE, headers=[folded, folded])

    assert extract_mergetags(merge) == (tag, tag)
    assert extract_mergetags(smith.make_commit(TREE, [PARENT], "alice", words, ALICE)) == ()


def test_the_size_bound_is_exact() -> None:
    empty = smith.make_commit(TREE, [], "alice", "")
    largest = empty + b"x" * (MAX_OBJECT_BYTES - len(empty))

    assert parse_commit(largest).raw == largest
    assert reason_of(largest + b"x") is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "raw",
    [
        smith.make_tag(PARENT, "v1", "alice", "Yes\n"),
        b" tree a\n\n",
        b"\n",
        b"",
        f"tree {TREE}\n cut".encode(),
        smith.make_path("a/b", b"x")[1][0],
    ],
)
def test_a_parent_that_is_no_commit_is_refused(raw: bytes) -> None:
    """Parents of a tree vote come from the sender and are asked to be commits, whatever they look like."""
    with pytest.raises(EvidenceError) as caught:
        parse_commit(raw)

    assert caught.value.reason is Reason.MALFORMED_OBJECT


@pytest.mark.parametrize(
    "raw",
    [
        smith.make_commit(TREE, [], "alice", "m\n"),
        f"object {PARENT}\ntype commit\ntag v1\n v2\n\nm\n".encode(),
        f"object {PARENT}\ntype commit\ntag \n\nm\n".encode(),
        f"object {PARENT}\ntag v1\ntype commit\n\nm\n".encode(),
        f"object {PARENT}\ntype commit\ntag v1\nobject {PARENT}\n\nm\n".encode(),
        f"object {PARENT}\ntype commit\ntag v1\nx y\ntagger A <a@x> 1 +0000\n\nm\n".encode(),
    ],
)
def test_a_tag_has_one_order_and_one_name(raw: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        parse_tag(raw)

    assert caught.value.reason is Reason.MALFORMED_OBJECT


def test_headers_are_bounded() -> None:
    """Thousands of headers would only cost time; the largest merges have about seventy."""
    raw = b"tree " + b"1" * 40 + b"\n" + b"x y\n" * 1100 + b"\nmessage\n"
    with pytest.raises(EvidenceError) as caught:
        parse_object(raw)
    assert caught.value.reason is Reason.TOO_LARGE
