"""Every status is explained, and advisories are linked by their number alone."""

from __future__ import annotations

import pytest

from marbleops.attestation.explain.statuses import MEANINGS, link_of
from marbleops.attestation.verdict import TcbStatus


def test_every_status_has_words() -> None:
    """None is left out, each ends as a sentence."""
    assert set(MEANINGS) == set(TcbStatus)
    assert all(words.endswith(".") for words in MEANINGS.values())


@pytest.mark.parametrize("advisory", ["INTEL-DOC-10000", "INTEL-SA-", "INTEL-SA-../x", "SA-00615", ""])
def test_only_numbers_are_linked(advisory: str) -> None:
    """What a document says never becomes an address as it stands."""
    assert link_of(advisory) is None
    assert (link_of("INTEL-SA-00615") or "").endswith("/advisory/intel-sa-00615.html")
