"""What is wrong with a manifest, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IssueCode(StrEnum):
    """The stable word of an issue; the same words as in ``approval.reasons``."""

    MALFORMED = "manifest-malformed"
    """Not JSON, a duplicate or unknown name, a wrong type: the shape is wrong."""
    INVALID = "manifest-invalid"
    """The shape is right, the content contradicts itself or a rule."""
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One problem of a manifest.

    ``path`` is written like ``Marbles.frontend.Parameters.Argv[0]`` and is empty for the document itself;
    ``line`` and ``column`` count from 1 and are ``None`` only where the bytes are not text.
    """

    code: IssueCode
    path: str
    message: str
    line: int | None = None
    column: int | None = None
    expected: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(n) for n in (self.line, self.column) if n is not None)
        head = " ".join(part for part in (place, self.path) if part)
        text = f"{head}: {self.message}" if head else self.message
        return f"{text} ({self.hint})" if self.hint else text

    @property
    def statement(self) -> str:
        """The message first and its place behind it, for callers that know MarbleRun's texts."""
        line = None if self.line is None else f"line {self.line}, column {self.column}"
        behind = "; ".join(part for part in (line, self.path, self.hint) if part)
        return f"{self.message} ({behind})" if behind else self.message


class ManifestError(Exception):
    """A manifest that is refused. Holds at least one issue; the text is all of them."""

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        assert issues, "an error without an issue explains nothing"
        super().__init__("\n".join(str(issue) for issue in issues))
        self.issues = issues

    @property
    def statement(self) -> str:
        """Every issue's statement, in order."""
        return "; ".join(issue.statement for issue in self.issues)

    @property
    def code(self) -> IssueCode:
        """The code of the first issue, which decides the answer's reason."""
        return self.issues[0].code
