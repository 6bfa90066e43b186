"""How a code is put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class About:
    """One code in words: three sentences, the last of which begins with a verb."""

    meaning: str
    cause: str
    to_do: str


SEND_AGAIN: Final = "Take the evidence again from the enclave and copy it as bytes, not as text."
REPORT: Final = "Treat the evidence as forged; if it comes from your own machine, ask the vendor's support."
FETCH: Final = "Fetch the collateral again (`marbleops collateral fetch`) and look at the machine's clock."
SOURCE: Final = (
    "Fetch the collateral from another source; if that helps, the first one alters what it serves."
)
