"""What commands print: JSON on request, colour and tables on a terminal, plain text in a pipe.

Text that comes from repositories, manifests and servers passes :func:`visible` first: an escape sequence or a
bidirectional control in a manifest must not change what an approver believes to see.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

import click

from marbleops.cli.options import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from marbleops.cli.errors import Failure

GOOD, BAD, NOTE = "good", "bad", "note"
_MARKS = {GOOD: ("✔", "[ok]", "green"), BAD: ("✗", "[!!]", "bold red"), NOTE: ("ⓘ", "[i]", "cyan")}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, limit: int = 2000) -> str:
    """Return *text* with every control or invisible character spelled out, cut at *limit* characters."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in _HIDDEN else char for char in text[:limit]
    )
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


class Printer:
    """Writes a command's answer to one stream in the format that was asked for."""

    def __init__(self, *, as_json: bool, stream: TextIO) -> None:
        self.as_json = as_json
        self._stream = stream
        self._console: Console | None = None
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        self._unicode = encoding.startswith("utf")

    @property
    def is_terminal(self) -> bool:
        """Tell whether a person looks at the stream."""
        return self._stream.isatty()

    def document(self, value: dict[str, Any] | list[Any]) -> None:
        """Print *value* as JSON if that was asked for; nothing otherwise."""
        if self.as_json:
            self._stream.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")

    def line(self, text: str = "", *, style: str | None = None) -> None:
        """Print one line of text; nothing in JSON mode. The caller has passed foreign text to ``visible``."""
        if self.as_json:
            return
        if style is not None and self.is_terminal:
            self._rich().print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(self._encodable(text) + "\n")

    def content(self, text: str) -> None:
        """Print foreign content: as it is into a pipe, without control characters on a terminal."""
        if self.as_json:
            return
        if not self.is_terminal:
            self._stream.write(self._encodable(text))
            return
        for row in text.removesuffix("\n").split("\n"):
            self.line(visible(row.replace("\t", "    "), limit=len(row) * 4))

    def mark(self, kind: str, text: str) -> None:
        """Print a line that starts with a tick, a cross or a note sign."""
        sign, ascii_sign, style = _MARKS[kind]
        self.line(f"{sign if self._unicode else ascii_sign} {text}", style=style)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: ruled on a terminal, aligned columns in a pipe."""
        if self.as_json or not rows:
            return
        if self.is_terminal:
            from rich.table import Table
            from rich.text import Text

            table = Table(box=None, header_style="bold", pad_edge=False)
            for header in headers:
                table.add_column(header, overflow="fold")
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            self._rich().print(table)
            return
        widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
        for row in (headers, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.line("  ".join(cells).rstrip())

    def failure(self, failure: Failure) -> None:
        """Print an error: what, where, each detail, and the next step."""
        self.document(failure.document())
        where = f"{visible(failure.where)}: " if failure.where else ""
        first, *rest = failure.what.splitlines() or [""]
        self.line(f"marbleops: {where}{visible(first)}", style="bold red")
        for text in rest:
            self.line(f"  {visible(text)}")
        if failure.next_step:
            self.line(f"  next: {visible(failure.next_step)}", style="cyan")

    def _encodable(self, text: str) -> str:
        if self._unicode:
            return text
        return text.encode("ascii", "backslashreplace").decode("ascii")

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._stream)
        return self._console


def printer() -> Printer:
    """Return the printer for the running command."""
    context = click.get_current_context(silent=True)
    settings = context.find_object(Settings) if context is not None else None
    return Printer(as_json=settings is not None and settings.output == "json", stream=sys.stdout)


def notices() -> Printer:
    """Return a printer for banners and progress: standard error, always text."""
    return Printer(as_json=False, stream=sys.stderr)
