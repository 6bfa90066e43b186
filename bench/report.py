"""How results are shown: a line each, the ratio last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured line: what, how much, and against what."""

    what: str
    figure: str
    ratio: str

    def __str__(self) -> str:
        return f"{self.what:<58} {self.figure:>14}   {self.ratio}"
