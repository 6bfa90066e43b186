"""Typed access to signed JSON: a member is of the expected type, size and range, or refused with a code.

The texts were signed before they come here, so this is strict about what is used and indifferent to what
Intel may add.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from marbleops.attestation import limits
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.collateral import CollateralError, load_json_object

if TYPE_CHECKING:
    from marbleops.attestation.verdict import Code


class Fields:
    """Typed access to one parsed JSON object; anything missing or misshapen is ``code``."""

    def __init__(self, document: Any, code: Code, where: str) -> None:
        self._code, self._where = code, where
        if not isinstance(document, dict):
            self.fail("is not an object")
        self._document = document

    @classmethod
    def load(cls, text: str, code: Code, where: str) -> Fields:
        """Parse one JSON object; raises ``RejectedError``."""
        try:
            return cls(load_json_object(text, limit=limits.MAX_SIGNED_JSON_BYTES), code, where)
        except CollateralError as error:
            raise RejectedError(code, str(error)) from error

    def inner(self, name: str, where: str) -> Fields:
        """Return the object that is the member ``name``."""
        return Fields(self.value(name), self._code, where)

    def objects(self, name: str, limit: int, where: str) -> list[Fields]:
        """Return the objects of a list."""
        return [Fields(item, self._code, where) for item in self.items(name, limit)]

    def fail(self, what: str) -> NoReturn:
        """Refuse the document."""
        raise RejectedError(self._code, f"{self._where} {what}")

    def value(self, name: str) -> Any:
        """Return a mandatory member."""
        if name not in self._document:
            self.fail(f"lacks {name}")
        return self._document[name]

    def optional(self, name: str) -> Any:
        """Return a member, or ``None`` where there is none."""
        return self._document.get(name)

    def number(self, name: str, limit: int) -> int:
        """Return a number from 0 to ``limit``."""
        value = self.value(name)
        if type(value) is not int or not 0 <= value <= limit:
            self.fail(f"has a {name} that is not a number from 0 to {limit}")
        return value

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.value(name)
        if not isinstance(value, str):
            self.fail(f"has a {name} that is not a string")
        return value

    def octets(self, name: str, length: int) -> bytes:
        """Return ``length`` bytes that are written in hexadecimal."""
        text = self.text(name)
        try:
            value = bytes.fromhex(text)
        except ValueError:
            self.fail(f"has a {name} that is not hexadecimal")
        if len(value) != length or len(text) != 2 * length:
            self.fail(f"has a {name} that is not {length} bytes of hexadecimal")
        return value

    def time(self, name: str) -> datetime:
        """Return a time in UTC, in the one layout that Intel uses."""
        text = self.text(name)
        try:
            value = datetime.fromisoformat(text.removesuffix("Z"))
        except ValueError:
            self.fail(f"has a {name} that is not a time in UTC")
        # Of the many forms of ISO 8601 only the one that reads back the same.
        if value.tzinfo is not None or f"{value.isoformat()}Z" != text:
            self.fail(f"has a {name} that is not a time in UTC")
        return value.replace(tzinfo=UTC)

    def items(self, name: str, limit: int) -> list[Any]:
        """Return a list of at most ``limit`` members."""
        value = self.value(name)
        if not isinstance(value, list) or len(value) > limit:
            self.fail(f"has a {name} that is not a list of at most {limit}")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        """Return an optional list of short strings."""
        if self.optional(name) is None:
            return ()
        words = self.items(name, limits.MAX_ADVISORIES)
        if not all(isinstance(word, str) and len(word) <= limits.MAX_ADVISORY_LENGTH for word in words):
            self.fail(f"has a {name} that is not a list of short strings")
        return tuple(words)
