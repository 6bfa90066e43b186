"""Trees are read strictly, and a path leads through folders to a plain file or nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith as smith
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_DEPTH, MAX_TREE_BYTES
from marbleops.approval.reasons import Reason
from marbleops.approval.tree import find_blob, index_trees, parse_tree

ID = "1" * 40
RAW_ID = b"\x11" * 20
NAMES = st.text(
    alphabet=st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=8
).filter(lambda name: name not in {".", ".."} and name.lower() != ".git")
MODES = st.sampled_from(["40000", "100644", "100755", "120000", "160000"])


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        parse_tree(raw)
    return caught.value.reason


@settings(max_examples=15)
@given(entries=st.dictionaries(NAMES, MODES, max_size=12))
def test_trees_round_trip(entries: dict[str, str]) -> None:
    """Every set of entries that git can store comes back, in git's order."""
    raw = smith.make_tree([(mode, name, smith.blob_id(name.encode())) for name, mode in entries.items()])

    parsed = parse_tree(raw)

    assert {(entry.mode, entry.name, entry.id) for entry in parsed} == {
        (mode, name, smith.blob_id(name.encode())) for name, mode in entries.items()
    }


@settings(max_examples=15)
@given(raw=st.binary(max_size=120))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    for attempt in (raw, b"100644 a\0" + raw, b"100644 a\0" + RAW_ID + raw):
        try:
            entries = parse_tree(attempt)
        except EvidenceError:
            continue
        assert smith.make_tree([(e.mode, e.name, e.id) for e in entries]) == attempt


@pytest.mark.parametrize(
    "raw",
    [
        b"100644 b\0" + RAW_ID + b"100644 a\0" + RAW_ID,
        b"100644 a\0" + RAW_ID + b"100644 a\0" + RAW_ID,
        b"100644 a\0" + RAW_ID + b"100644 a.b\0" + RAW_ID + b"40000 a\0" + RAW_ID,
        b"40000 a\0" + RAW_ID + b"100644 a.b\0" + RAW_ID,
        b"100644 \0" + RAW_ID,
        b"100644 .\0" + RAW_ID,
        b"40000 ..\0" + RAW_ID,
        b"40000 .git\0" + RAW_ID,
        b"40000 .GIT\0" + RAW_ID,
        b"100644 a/b\0" + RAW_ID,
        b"100644 \xff\0" + RAW_ID,
        b"040000 a\0" + RAW_ID,
        b"100600 a\0" + RAW_ID,
        b"100644  a" + RAW_ID,
        b"100644 a\0" + RAW_ID[:-1],
        b"100644",
    ],
)
def test_an_unclear_tree_is_refused(raw: bytes) -> None:
    assert reason_of(raw) is Reason.MALFORMED_OBJECT


def test_a_folder_sorts_as_if_its_name_ended_in_a_slash() -> None:
    raw = b"100644 a.b\0" + RAW_ID + b"40000 a\0" + RAW_ID + b"100644 a0\0" + RAW_ID

    assert [entry.name for entry in parse_tree(raw)] == ["a.b", "a", "a0"]


def test_a_tree_has_a_size() -> None:
    assert reason_of(bytes(MAX_TREE_BYTES + 1)) is Reason.TOO_LARGE


def test_the_path_leads_to_the_blob() -> None:
    root, raws = smith.make_path("a/b/manifest.json", b"{}")

    assert find_blob(root=root, path="a/b/manifest.json", trees=index_trees(raws)) == smith.blob_id(b"{}")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/b/other.json", Reason.PATH_NOT_IN_TREE),
        ("a/x/manifest.json", Reason.PATH_NOT_IN_TREE),
        ("a//manifest.json", Reason.PATH_NOT_IN_TREE),
        ("a/b", Reason.WRONG_MODE),
        ("a/b/manifest.json/c", Reason.WRONG_MODE),
        ("a/" * MAX_DEPTH + "b", Reason.TOO_LARGE),
    ],
)
def test_other_paths_lead_nowhere(path: str, reason: Reason) -> None:
    root, raws = smith.make_path("a/b/manifest.json", b"{}")

    with pytest.raises(EvidenceError) as caught:
        find_blob(root=root, path=path, trees=index_trees(raws))

    assert caught.value.reason is reason


def test_a_tree_must_be_what_its_id_says() -> None:
    """A caller that files trees under ids of its own choice gains nothing."""
    root, raws = smith.make_path("manifest.json", b"{}")
    evil = smith.make_tree([("100644", "manifest.json", ID)])

    with pytest.raises(EvidenceError) as caught:
        find_blob(root=root, path="manifest.json", trees={root: evil})

    assert raws[0] != evil
    assert caught.value.reason is Reason.MALFORMED_OBJECT


def test_a_missing_tree_is_named() -> None:
    root, raws = smith.make_path("a/manifest.json", b"{}")

    with pytest.raises(EvidenceError, match="lacks tree"):
        find_blob(root=root, path="a/manifest.json", trees=index_trees(raws[:1]))
