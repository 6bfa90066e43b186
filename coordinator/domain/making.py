"""What making keys, certificates and log lines takes from the world: the time and randomness, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """The time of one change, and where its random bytes come from."""

    at: datetime
    random: Random = field(repr=False)
