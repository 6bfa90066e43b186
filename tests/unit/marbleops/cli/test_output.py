"""What is printed: nothing from outside moves the cursor, and every error says what, where and what next."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marbleops.cli.errors import CommandError, UsageProblem, translate
from marbleops.cli.exits import Exit
from marbleops.cli.output import GOOD, Printer, visible
from marbleops.manifest.errors import Issue, IssueCode, ManifestError


def plain() -> tuple[Printer, io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Printer(as_json=False, stream=stream), stream


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@given(st.text(max_size=200))
def test_visible_leaves_nothing_that_acts(text: str) -> None:
    """No control, format or separator character survives: the page an approver reads is the page we wrote."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not any(unicodedata.category(char) in hidden for char in visible(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", "\\u001b[2J"), ("a\u202eb", "a\\u202eb"), ("a\nb", "a\\u000ab"), ("größe", "größe")],
)
def test_visible_spells_out(text: str, shown: str) -> None:
    """Escape sequences, bidirectional overrides and line ends are spelled; letters stay."""
    assert visible(text) == shown


def test_visible_says_that_it_cut() -> None:
    """A long value cannot push the rest off the screen unseen."""
    assert visible("x" * 50, limit=10) == "x" * 10 + "… (50 characters)"


def test_pipe_gets_plain_text() -> None:
    """Without a terminal there is no colour code, and columns are aligned."""
    out, stream = plain()
    out.mark(GOOD, "fine")
    out.table(["name", "value"], [["a", "1"], ["long", "2"]])
    assert written(stream) == "✔ fine\nname  value\na     1\nlong  2\n"


def test_ascii_stream_gets_ascii() -> None:
    """A terminal without UTF-8 is served too."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    out = Printer(as_json=False, stream=stream)
    out.mark(GOOD, "größe")
    assert written(stream) == "[ok] gr\\xf6\\xdfe\n"


def test_json_prints_the_document_only() -> None:
    """In JSON mode nothing else is written, so that a program can read it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    out = Printer(as_json=True, stream=stream)
    out.line("text")
    out.document({"a": "\x1b"})
    assert json.loads(written(stream)) == {"a": "\x1b"}


def test_error_says_what_where_next() -> None:
    """The three things a person needs, on two lines."""
    out, stream = plain()
    out.failure(
        translate(UsageProblem("it is no manifest", where="a.json", next_step="marbleops lint a.json"))
    )
    assert written(stream) == "marbleops: a.json: it is no manifest\n  next: marbleops lint a.json\n"


def test_manifest_error_is_a_refusal() -> None:
    """A manifest's issues keep their lines; the exit code is the one for refusals."""
    issue = Issue(code=IssueCode.INVALID, path="Users", message="nobody", line=3, column=5)
    failure = translate(ManifestError((issue,)))
    assert failure.exit_code is Exit.REFUSED
    assert "3:5 Users: nobody" in failure.what
    assert (failure.reason, failure.details[0]["line"]) == ("manifest-invalid", 3)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("no", exit_code=Exit.TIMEOUT), Exit.TIMEOUT),
        (FileNotFoundError(2, "No such file", "x"), Exit.USAGE),
        (ModuleNotFoundError("no pygit2", name="pygit2"), Exit.USAGE),
        (RuntimeError("boom"), Exit.INTERNAL),
    ],
)
def test_every_error_has_an_exit_code(error: Exception, code: Exit) -> None:
    """Known errors have their code; what nobody foresaw is internal, never success."""
    assert translate(error).exit_code is code
