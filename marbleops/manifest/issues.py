"""Collects everything that is wrong with one manifest, each with its place, and raises it at once."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from marbleops.manifest.errors import Issue, IssueCode, ManifestError
from marbleops.manifest.limits import MAX_CANDIDATES, MAX_COLLECTED, MAX_HINTS, MAX_ISSUES
from marbleops.manifest.position import JsonPath, Positions, ScanError, fold, format_path, scan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_RANK: Final = {IssueCode.TOO_LARGE: 0, IssueCode.MALFORMED: 1, IssueCode.INVALID: 2}


class Issues:
    """The issues of one text. Its positions are indexed only when the first issue is found."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._positions: Positions | None = None
        self._found: dict[Issue, None] = {}
        self._hints_left = MAX_HINTS

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self._found)

    def add(
        self,
        code: IssueCode,
        path: JsonPath,
        message: str,
        *,
        expected: str | None = None,
        hint: str | None = None,
        at_name: bool = False,
    ) -> None:
        """Note an issue of the value at *path* (of its name, with *at_name*)."""
        positions = self.positions()
        place: tuple[int | None, int | None] = (None, None)
        if positions is not None:
            place = positions.name(path) if at_name else positions.value(path)
        self.add_at(code, path, message, place, expected=expected, hint=hint)

    def malformed(self, path: JsonPath, message: str, *, expected: str | None = None) -> None:
        """Note that the shape at *path* is wrong."""
        self.add(IssueCode.MALFORMED, path, message, expected=expected)

    def invalid(self, path: JsonPath, message: str, *, hint: str | None = None) -> None:
        """Note that the content at *path* breaks a rule."""
        self.add(IssueCode.INVALID, path, message, hint=hint)

    def add_at(
        self,
        code: IssueCode,
        path: JsonPath,
        message: str,
        place: tuple[int | None, int | None],
        *,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Note an issue whose line and column are known."""
        issue = Issue(
            code=code,
            path=format_path(path),
            message=message,
            line=place[0],
            column=place[1],
            expected=expected,
            hint=hint,
        )
        if len(self._found) < MAX_COLLECTED:
            self._found[issue] = None

    def nearest(self, name: str, valid: Collection[str]) -> str | None:
        """Say which of *valid* was meant by *name*, while this text has not cost too much already."""
        if self._hints_left == 0 or len(valid) > MAX_CANDIDATES:
            return None
        self._hints_left -= 1
        return nearest(name, valid)

    def positions(self) -> Positions | None:
        """Index the text, once; ``None`` if it is not JSON."""
        if self._positions is None:
            try:
                self._positions = scan(self._text)
            except ScanError:
                return None
        return self._positions

    def raise_if_any(self) -> None:
        """Raise what was found, the worst kind first and then in the order of the text.

        Raises:
            ManifestError: there is at least one issue.
        """
        if not self._found:
            return
        ordered = sorted(
            self._found, key=lambda i: (_RANK[i.code], i.line or 0, i.column or 0, i.path, i.message)
        )
        if len(ordered) > MAX_ISSUES:
            more = Issue(
                code=ordered[-1].code, path="", message=f"and {len(ordered) - MAX_ISSUES} more issues"
            )
            ordered = [*ordered[:MAX_ISSUES], more]
        raise ManifestError(tuple(ordered))


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Say which of *valid* somebody who wrote *name* may have meant."""
    folded = {fold(candidate): candidate for candidate in valid}
    matches = get_close_matches(fold(name)[:80], folded, n=1, cutoff=0.6)
    return f"did you mean '{folded[matches[0]]}'?" if matches else None
