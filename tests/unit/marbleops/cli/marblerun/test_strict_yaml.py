"""YAML becomes the very bytes that ``marblerun manifest signature`` hashes, or it is refused.

The digests were measured with the command line of MarbleRun 1.9 on the same texts.
"""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marbleops.cli.marblerun.strict_yaml import YamlError, yaml_to_json

SAME = {
    "a: !!str 5\n": "3c3f21c212c04f5d490e2915a83339b3dc095213840d0465ec0f2841adb4971b",
    "a: !!str true\n": "ab3bdfa576856b45f53496e29289c4ceb414995c50984ae3deaacdc7012b42cc",
    'a: [1, true, null, ~, "x"]\nb:\nc: ""\n': (
        "767c96b1bc869767847fd262be4948bc94d85194c6667ded221ce4281f63b378"
    ),
    "a: >-\n  x\n  y\n\nb: 1\n": "8cc3f720ec1a2b9f0dd13a8e76a01c0174fad19d83ef8518b2fa9bb0752b06cc",
    'Z: 1\na: 2\nB: 3\n"é": 4\n"\\U0001F600": 5\n"\\uFF5E": 6\n': (
        "208146535c36d9090544ab97be52dddc52d7ebf5eaa2577d8a8a1fbae75ede51"
    ),
    'a: "\\u2028 <&>"\n': "11016c79762eff372b0df33aa12524749f9c5bd14380f695b4bba072d0d2b3df",
    'a: "\\x7f\\b\\f\\0"\n': "e5d28205c619e2f58a6153b58543755057ced9ea7848cf75235f6899ef60790d",
    "a: 'it''s'\n": "72b17cf3ff93bf704f2b310e77425c82a2d1170fb2c0f7ff5948c79d011981d3",
    "a: &x {b: 1}\nc: {<<: *x, d: 2}\n": "742f33d22486b329260aea5cdc67fb86de3213369494dfdea73a41d9cbf01140",
    "a: 18446744073709551615\n": "f3b4dfb00c0a55d8e57770ccf818324775f24503a77e1db9aceca474bfa2e8f7",
    "a: 10.0.0.1\n": "d511249f3d093dc0be692a48ac47bf8741bda7e91376c5c11f47b37f6afdc503",
    '{"a":1,}\n': "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
    "\ufeffa: 1\n": "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
}
AMBIGUOUS = [
    *(
        "yes",
        "y",
        "N",
        "on",
        "Off",
        "TRUE",
        "Null",
        "=",
        ".inf",
        ".NaN",
        "2024-01-01",
        "1:20",
        "!!binary aGk=",
    ),
    *("010", "0o10", "0x10", "1.5", ".5", "1e3", "1_000", "+5", "-0", "99999999999999999999999", "!foo x"),
]
LAUGHS = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [" + ",".join([f"*{old}"] * 8) + "]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize("text", SAME)
def test_the_bytes_are_those_of_marblerun(text: str) -> None:
    assert hashlib.sha256(yaml_to_json(text)).hexdigest() == SAME[text]


@pytest.mark.parametrize("word", AMBIGUOUS)
def test_what_programs_read_differently_is_refused_with_its_place(word: str) -> None:
    with pytest.raises(YamlError, match=r"line 2, column 4: .*quotes"):
        yaml_to_json("x: 1\na: " + word + "\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", "'a' stands twice"),
        ("c: {b: 7, <<: {b: 1}}\n", "'b' stands twice"),
        ("1: x\n", "a name must be text"),
        ("N: x\n", "quotes"),
        ("{a: 1}: x\n", "a name must be text"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("", "empty"),
        ("just text", "a mapping"),
        ("- a\n", "a mapping"),
        ("a: *x\n", "undefined alias"),
        ("a: !!int '5'\n", "no meaning"),
        ('a: "\\ud800"\n', "lone surrogate"),
        ("c: {<<: 3}\n", "only mappings"),
        ("a: " + "[" * 30 + "]" * 30, "deeper than"),
        (LAUGHS, "more than"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(YamlError, match=words):
        yaml_to_json(text)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_converted_or_refused(text: str) -> None:
    try:
        assert yaml_to_json(text).startswith(b"{")
    except YamlError:
        return
