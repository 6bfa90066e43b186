"""Who is admitted, as whom, how often; and the forms of a UUID."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from coordinator.domain.activation import Admission, count, parse_uuid
from coordinator.domain.state import Ledger
from coordinator.errors import InvalidMarbleRequestError, MarbleRefusedError
from marbleops.manifest.model import Marble

CANONICAL = "02030400-0000-4000-8000-0000000000ab"


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL,
        CANONICAL.upper(),
        f"urn:uuid:{CANONICAL}",
        f"URN:UUID:{CANONICAL.upper()}",
        f"{{{CANONICAL}}}",
        f"({CANONICAL})",
        CANONICAL.replace("-", ""),
    ],
)
def test_uuid_forms(text: str) -> None:
    """All the forms MarbleRun takes give one canonical text, and so the same keys."""
    assert parse_uuid(text) == CANONICAL


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        CANONICAL[:-1],
        CANONICAL + "0",
        CANONICAL.replace("-", "_"),
        CANONICAL.replace("-", "", 1) + "0",
        "0203040-00000-4000-8000-0000000000ab",
        "\u0660" * 32,
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_not_a_uuid(text: str) -> None:
    """Anything else is refused, the nil UUID too (marblerun-core A1)."""
    with pytest.raises(InvalidMarbleRequestError, match="invalid UUID"):
        parse_uuid(text)


def test_ledger_counts_and_attests() -> None:
    """Counts go up where there is a limit; the highest attested version stays."""
    build = ("backend", "aa", 15)
    limited = _admission(Marble(package="p", max_activations=2), attested=(build, 3))
    once = count(Ledger(), limited)
    assert (dict(once.activations), dict(once.attested)) == ({"backend": 1}, {build: 3})
    twice = count(once, _admission(limited.marble, attested=(build, 2)))
    assert (dict(twice.activations), dict(twice.attested)) == ({"backend": 2}, {build: 3})
    with pytest.raises(MarbleRefusedError, match="max activations"):
        count(twice, limited)


def test_nothing_to_remember_is_the_same_ledger() -> None:
    """Without a limit and a new build the ledger is the very same object, so that nothing is written."""
    ledger = Ledger(attested=MappingProxyType({("backend", "aa", 15): 3}))
    unlimited = _admission(Marble(package="p"), attested=(("backend", "aa", 15), 3))
    assert count(ledger, unlimited) is ledger


def _admission(marble: Marble, *, attested: tuple[tuple[str, str, int], int] | None) -> Admission:
    return Admission(marble_type="backend", marble=marble, attested=attested, uuid=CANONICAL)
