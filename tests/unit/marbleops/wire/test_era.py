"""Era files: what pins a Coordinator build, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marbleops.wire.era import EraError, read_era

SIGNER = "43361AFFEDEB75AFFEE9BAEC7E054A5E14883213E5A121B67D74A0E12E9D2B7A"


def test_a_signers_era_is_read() -> None:
    """The common form: signer, product, minimum version; identities become lower-case."""
    era = read_era(json.dumps({"SecurityVersion": 3, "ProductID": 3, "SignerID": SIGNER}))
    assert (era.signer_id, era.product_id, era.security_version) == (SIGNER.lower(), 3, 3)
    assert (era.debug, era.unique_id, era.accepted_tcb_statuses) == (False, None, ())


def test_a_unique_id_is_enough() -> None:
    """One measured build needs no signer."""
    era = read_era(json.dumps({"UniqueID": SIGNER, "Debug": True, "AcceptedTCBStatuses": ["UpToDate"]}))
    assert (era.unique_id, era.debug, era.accepted_tcb_statuses) == (SIGNER.lower(), True, ("UpToDate",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "an object"),
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply|longer than"),
        ("{}", "give UniqueID"),
        (f'{{"SignerID": "{SIGNER}", "ProductID": 1}}', "give UniqueID"),
        (f'{{"UniqueId": "{SIGNER}"}}', "unknown member 'UniqueId'"),
        ('{"UniqueID": "ab"}', "64 hexadecimal"),
        (f'{{"UniqueID": "{SIGNER}", "UniqueID": "{SIGNER}"}}', "twice"),
        (f'{{"UniqueID": "{SIGNER}", "Debug": 1}}', "true or false"),
        (f'{{"UniqueID": "{SIGNER}", "ProductID": 65536}}', "0 to 65535"),
        (f'{{"UniqueID": "{SIGNER}", "ProductID": true}}', "0 to 65535"),
        (f'{{"UniqueID": "{SIGNER}", "AcceptedAdvisories": "x"}}', "list of strings"),
    ],
)
def test_what_does_not_pin_a_build_is_refused(text: str, words: str) -> None:
    """Typos, loose pins and wrong types never widen what is accepted."""
    with pytest.raises(EraError, match=words):
        read_era(text)


@settings(max_examples=30)
@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_arbitrary_text_is_refused_in_words(text: str) -> None:
    """Whatever the text, the only error is EraError."""
    with pytest.raises(EraError):
        read_era(text)
