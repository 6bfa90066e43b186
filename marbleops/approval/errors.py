"""The one error of the evidence parsers and verifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marbleops.approval.reasons import Reason


class EvidenceError(Exception):
    """A piece of evidence, or a key, that is refused.

    ``reason`` is the stable word for machines; ``message`` says in one sentence what was found and names
    only public values (never bytes of the evidence beyond identifiers).
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
