"""The ledger of one verification: every comparison is written down, the first failure ends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from marbleops.attestation import limits
from marbleops.attestation.verdict import Check, Code

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class RejectedError(Exception):
    """A check failed. Never leaves ``attestation``: ``dcap`` turns it into a verdict."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Ledger:
    """Collects checks in the order in which they were made."""

    checks: list[Check] = field(default_factory=list)

    def require(self, name: str, code: Code, *, ok: bool, expected: str, found: str) -> None:
        """Note the comparison; raise ``RejectedError`` with ``code`` where it failed."""
        shown = found if len(found) <= limits.MAX_FOUND_TEXT else found[: limits.MAX_FOUND_TEXT] + "…"
        self.checks.append(Check(name=name, ok=ok, expected=expected, found=shown))
        if not ok:
            raise RejectedError(code, f"{name}: expected {expected}, found {shown}")

    def equal(self, name: str, code: Code, *, expected: bytes, found: bytes) -> None:
        """Require two public byte strings to be equal."""
        self.require(name, code, ok=expected == found, expected=expected.hex(), found=found.hex())

    def debug(self, *, found: bool, allowed: bool) -> None:
        """Require that an environment is not for debugging, unless that is ``allowed``."""
        expected = "debug or not" if allowed else "not debug"
        text = "debug" if found else "not debug"
        self.require("Debug", Code.DEBUG_ENCLAVE, ok=allowed or not found, expected=expected, found=text)

    def fail(self, name: str, error: RejectedError, *, expected: str) -> None:
        """Note a failure that was found elsewhere, and raise it."""
        self.require(name, error.code, ok=False, expected=expected, found=error.detail)

    def close(self, error: RejectedError) -> None:
        """Make sure that the last check is the failed one, also where ``error`` came past the ledger."""
        if not self.checks or self.checks[-1].ok:
            self.checks.append(
                Check(name=error.code.value, ok=False, expected="no error", found=error.detail)
            )


class Memo(Protocol):
    """Remembers results that depend on content alone, together with the checks that led to them."""

    def recall(
        self, key: tuple[str, bytes], compute: Callable[[], tuple[T, tuple[Check, ...]]]
    ) -> tuple[T, tuple[Check, ...]]:
        """Return the remembered result for ``key``, or compute and remember it; failures are not kept."""
        ...


class NoMemo:
    """Remembers nothing: every verification is complete in itself."""

    def recall(
        self, key: tuple[str, bytes], compute: Callable[[], tuple[T, tuple[Check, ...]]]
    ) -> tuple[T, tuple[Check, ...]]:
        """Compute afresh."""
        del key
        return compute()


def remembered(memo: Memo, ledger: Ledger, key: tuple[str, bytes], work: Callable[[Ledger], T]) -> T:
    """Run ``work`` once per ``key`` and write its checks to ``ledger`` each time, as if it had run again."""

    def compute() -> tuple[T, tuple[Check, ...]]:
        part = Ledger()
        try:
            result = work(part)
        except RejectedError:
            ledger.checks.extend(part.checks)
            raise
        return result, tuple(part.checks)

    result, checks = memo.recall(key, compute)
    ledger.checks.extend(checks)
    return result
