"""Places: where a value stands, in the words of an editor."""

from __future__ import annotations

import pytest

from marbleops.manifest.position import JsonPath, ScanError, fold, format_path, position_of, scan, shown

TEXT = """{
  "Packages": {"p": {"Debug": true}},
  "Marbles": {
    "m": {"Package": "p", "TLS": ["a",
      "b"]}
  }, "\\u00e4\u00f6": 1
}""".encode()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("Packages",), (2, 15)),
        (("Packages", "p", "Debug"), (2, 31)),
        (("Marbles", "m", "TLS", 1), (5, 7)),
        (("Marbles", "m", "TLS", 7), (4, 34)),
        (("Marbles", "x", "y"), (3, 14)),
        (("packages", "P"), (2, 21)),
        (("\u00e4\u00f6",), (6, 17)),
        (("Nowhere",), (1, 1)),
    ],
)
def test_position(path: JsonPath, place: tuple[int, int]) -> None:
    """Values are found by path; what is gone is placed at its nearest ancestor."""
    assert position_of(TEXT, path) == place


def test_columns_count_characters() -> None:
    """A column counts characters, not bytes."""
    assert position_of('{"\u00e4\U0001f600": 1}'.encode(), ("\u00e4\U0001f600",)) == (1, 8)


def test_not_json_has_no_positions() -> None:
    """There is no place in what is not JSON."""
    assert position_of(b"{", ()) is None


@pytest.mark.parametrize(
    "text", ['{"a":01}', '["\t"]', '["\\x"]', "[1.]", "[.5]", "[+1]", "tru", '{"a"}', "[1 2]", "[", '{"a":1']
)
def test_strict_grammar(text: str) -> None:
    """The scanner takes JSON and nothing beyond."""
    with pytest.raises(ScanError):
        scan(text)


def test_last_duplicate_counts_and_is_told() -> None:
    """A later name hides an earlier one, as in the parser, and is listed."""
    positions = scan('{"a": 1, "a": 2}')

    assert positions.value(("a",)) == (1, 15)
    assert [(d.path, d.offset) for d in positions.duplicates] == [(("a",), 9)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("Packages", "backend", "SecurityVersion"), "Packages.backend.SecurityVersion"),
        (("Marbles", "m", "Parameters", "Argv", 0), "Marbles.m.Parameters.Argv[0]"),
        (("Files", "/etc/a.conf"), 'Files["/etc/a.conf"]'),
        (("", "\n"), '[""]["\\n"]'),
        ((0, "a"), "[0].a"),
    ],
)
def test_format_path(path: JsonPath, text: str) -> None:
    """Paths read like code; unusual names are quoted."""
    assert format_path(path) == text


def test_shown() -> None:
    """Foreign names are repeated short and harmless."""
    assert shown("plain name") == "plain name"
    assert shown("a\x1b[2J") == '"a\\u001b[2J"'
    assert len(shown("x" * 10_000)) < 100


def test_fold_matches_go() -> None:
    """Letters fold by case, and two special ones to ASCII; nothing else does."""
    assert fold("GitOp\u017f") == fold("gITOPS")
    assert fold("\u212aey") == fold("KEY")
    assert fold("stra\u00dfe") != fold("STRASSE")
