"""What each code means, how it comes about, and what to do: the source of ``docs/attestation-codes.md``.

A test holds this table, the page and ``Code`` together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marbleops.attestation.explain.codes_guests import OF_GUESTS
from marbleops.attestation.explain.codes_quotes import OF_QUOTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.attestation.explain.about import About
    from marbleops.attestation.verdict import Code

CODES: Final[Mapping[Code, About]] = {**OF_QUOTES, **OF_GUESTS}
