"""Says what happens in the demo, one clear line at a time, and stops it when something is not as told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import click

SIGNS = {"ok": ("✔", "green"), "refused": ("✘", "yellow"), "note": ("·", None), "warn": ("!", "red")}


class NotAsToldError(Exception):
    """The demo said something would happen and it did not; the text says what was seen instead."""


@dataclass(slots=True)
class Narrator:
    """Prints scenes for people, or keeps them for ``--output json``. Times are seconds since the start."""

    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    scenes: list[dict[str, Any]] = field(default_factory=list)

    def elapsed(self) -> float:
        """Return the seconds since the demo began."""
        return time.monotonic() - self.started

    def scene(self, number: int, title: str) -> None:
        """Open a scene."""
        self.scenes.append({"scene": number, "title": title, "at": round(self.elapsed(), 2), "lines": []})
        if not self.quiet:
            click.echo()
            click.secho(f"{number}  {title}", bold=True)

    def _line(self, kind: str, text: str, **facts: Any) -> None:
        if self.scenes:
            self.scenes[-1]["lines"].append({"kind": kind, "text": text, **facts})
        if not self.quiet:
            sign, colour = SIGNS[kind]
            click.echo(f"{self.elapsed():6.1f}s  {click.style(sign, fg=colour, bold=True)} {text}")

    def ok(self, text: str, **facts: Any) -> None:
        """Say that something happened as it should."""
        self._line("ok", text, **facts)

    def refused(self, text: str, **facts: Any) -> None:
        """Say that something was refused, as it should be."""
        self._line("refused", text, **facts)

    def note(self, text: str, **facts: Any) -> None:
        """Say something on the way."""
        self._line("note", text, **facts)

    def warn(self, text: str, **facts: Any) -> None:
        """Say something a reader must not miss."""
        self._line("warn", text, **facts)


def expect(condition: object, what: str) -> None:
    """Stop the demo unless *condition* holds.

    Raises:
        NotAsToldError: it does not hold.
    """
    if not condition:
        raise NotAsToldError(what)
