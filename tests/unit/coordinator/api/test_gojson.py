"""Bodies as Go reads them: every row was run with Go 1.26 (marblerun-core 0.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.api import gojson
from coordinator.api.body import MAX_STRUCTURE
from coordinator.errors import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    k: bytes | None = gojson.blob("K")
    other: bytes | None = gojson.blob("Other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    manifest: bytes | None = gojson.blob("manifest")
    name: str = gojson.text("name")
    value: int = gojson.uint64("value")
    secrets: Mapping[str, Key] = gojson.table("secrets", Key)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", None),
        (b"null", None),
        (b" \t\r\n{} trailing", None),
        (b'{"manifest":"YQ=="}}', b"a"),
        (b'{"manifest":"YQ=="}\0', b"a"),
        (b'{"MANIFEST":"YQ=="}', b"a"),
        (b'{"manifest":"YQ==","Manifest":"Yg=="}', b"b"),
        (b'{"Manifest":"Yg==","manifest":"YQ=="}', b"a"),
        (b'{"manifest":"YQ==","Manifest":null}', None),
        (rb'{"mani\u0066est":"YQ=="}', b"a"),
        ('{"man\u0131fest":"YQ=="}'.encode(), None),
        (b'{"manifest":"YR=="}', b"a"),
        (rb'{"manifest":"Y\nQ=\r\n=\n"}', b"a"),
        (b'{"manifest":[97,98,null]}', b"ab\0"),
        (b'{"manifest":[]}', b""),
        (b'{"manifest":""}', b""),
        (b'{"x":[{"y":[1e999,-0.5E-3,true,false,null]}],"manifest":"YQ=="}', b"a"),
        (b'{"x":"\xff","manifest":"YQ=="}', b"a"),
    ],
)
def test_bytes_are_read_as_leniently(body: bytes, expected: bytes | None) -> None:
    """Names in any case, the last one wins, null is none, base64 or numbers, and what follows is ignored."""
    assert gojson.first(body, Body).manifest == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"manifest"', "unexpected EOF"),
        (b'{"manifest":"Y', "unexpected EOF"),
        (rb'{"manifest":"\u00', "unexpected EOF"),
        (b"tru", "unexpected EOF"),
        (b'{"value":-', "unexpected EOF"),
        (b'{"manifest":5', "unexpected EOF"),
        (b"[]", "expected an object, not a list"),
        (b'{"manifest":5}', "manifest: expected base64 text, not a number"),
        (b'{"manifest":"YQ"}', "manifest: not padded base64"),
        (b'{"manifest":"YQ== "}', "manifest: not padded base64"),
        (b'{"manifest":"YQ==YQ=="}', "manifest: not padded base64"),
        (b'{"manifest":"YWJj===="}', "manifest: not padded base64"),
        (b'{"manifest":"_-8="}', "manifest: not padded base64"),
        (b'{"manifest":"!","manifest":"YQ=="}', "manifest: not padded base64"),
        (b'{"manifest":[256]}', "manifest: expected a plain integer from 0 to 255"),
        (b'{"manifest":[1.0]}', "manifest: expected a plain integer from 0 to 255"),
        (b'{"manifest":["a"]}', "manifest: expected a number, not text"),
        (b'{"value":18446744073709551616}', "value: expected a plain integer"),
        (b'{"value":-0}', "value: expected a plain integer"),
        (b'{"value":1e2}', "value: expected a plain integer"),
        (b'{"value":"5"}', "value: expected a number, not text"),
        (b'{"name":{}}', "name: expected text, not an object"),
        (b'{"secrets":[]}', "secrets: expected an object, not a list"),
        (b'{"secrets":{"a":5}}', "secrets: a: expected an object, not a number"),
        (b'{"secrets":{"a":{"k":true}}}', "secrets: a: k: expected base64 text, not true or false"),
        (b"\xef\xbb\xbf{}", "unexpected character 1"),
        (b'{"manifest":"YQ==",}', "unexpected character 20"),
        (b'{"x":[1,]}', "unexpected character 9"),
        (b'{"x":01}', "unexpected character 7"),
        (b'{"x":NaN}', "unexpected character 6"),
        (b'{"x":"\x01"}', "unexpected character 6"),
        (rb'{"x":"\q"}', "unexpected character 6"),
        (b'{"a" 1}', "unexpected character 6"),
        (b"{1:2}", "unexpected character 2"),
        (b"}", "unexpected character 1"),
        (b'{"x":' + b"[" * gojson.MAX_DEPTH, "nested more than 64 levels"),
        (b"[" * MAX_STRUCTURE + b"[", "more values than any call"),
    ],
)
def test_what_go_refuses_is_refused(body: bytes, words: str) -> None:
    """The wrong type, a number out of range, what is no JSON; and, of ours, what is over a bound."""
    with pytest.raises(MalformedRequestError, match=words):
        gojson.first(body, Body)
    if "EOF" in words:
        with pytest.raises(MalformedRequestError) as raised:
            gojson.first(body, Body)
        assert str(raised.value) == words


def test_scalars() -> None:
    """Null changes nothing, text has no lone surrogates, each foreign byte is one U+FFFD, 64 bits fit."""
    body = gojson.first(b'{"name":"a","value":18446744073709551615,"name":null,"value":null}', Body)
    assert (body.name, body.value) == ("a", 2**64 - 1)
    assert gojson.first(rb'{"name":"\ud800\ud800\udc00\/"}', Body).name == "\ufffd\U00010000/"
    assert (
        gojson.first(b'{"name":"a\xffb\xe2\x82z\xed\xa0\x80"}', Body).name
        == "a\ufffdb\ufffd\ufffdz" + 3 * "\ufffd"
    )


def test_maps_merge_and_structures_do_not() -> None:
    """A second map adds to the first, a second structure replaces it, null empties."""
    merged = gojson.first(
        b'{"secrets":{"a":{"K":"YQ==","Other":""},"b":null},"Secrets":{"a":{"\xe2\x84\xaa":[98]}}}', Body
    )
    assert merged.secrets == {"a": Key(k=b"b"), "b": Key()}
    assert gojson.first(b'{"secrets":{"a":{}},"secrets":null}', Body).secrets == {}


def test_a_whole_body_has_nothing_behind_it() -> None:
    """Version 1 takes one value and white space."""
    assert gojson.whole_table(b' {"a":{"K":"YQ=="}}\n', Key) == {"a": Key(k=b"a")}
    assert gojson.whole(b"null ", Body) == Body()
    for body, words in (
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"{}x", "something follows"),
        (b"[]", "expected an object"),
    ):
        with pytest.raises(MalformedRequestError, match=words):
            gojson.whole_table(body, Key)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(value=_VALUES, ascii_only=st.booleans())
@settings(max_examples=25)
def test_it_reads_what_python_writes(value: object, ascii_only: bool) -> None:
    """Any value that stands where no field is does no harm, however it is written."""
    body = json.dumps({"unknown": value, "name": "x"}, ensure_ascii=ascii_only).encode()
    assert gojson.first(body, Body) == Body(name="x")


def test_secrets_are_in_no_repr() -> None:
    """A body with a key can be logged by accident."""
    assert "YQ" not in repr(Key(k=b"YQ"))
