"""Floors only rise, and nothing below one passes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import quotesmith as smith
from marbleops.attestation.platform.softsnp import SoftSnp
from marbleops.attestation.verdict import Code, Tee
from marbleops.collateral.floors import (
    Floors,
    FloorsError,
    RollbackError,
    check_floors,
    observe,
    observe_lists,
)

DAY = timedelta(days=1)
NOW = observe(smith.collateral(), Tee.SGX)
LATER = observe(smith.collateral(at=smith.AT + DAY), Tee.SGX)
NUMBERS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9))


def test_what_collateral_shows() -> None:
    """Both evaluation numbers, a number for the list of each CA, and the latest date."""
    assert NOW.numbers["tcb-info/sgx"] == NOW.numbers["qe-identity/sgx"] == 18
    assert len(NOW.numbers) == 4
    assert NOW.time == smith.AT - timedelta(hours=1)
    assert observe_lists([SoftSnp(seed=bytes(32)).files(at=smith.AT)["crl.der"]]).time is not None


def test_a_host_that_goes_back() -> None:
    """Older lists and a smaller evaluation number are a rollback; one text says all that is below."""
    floors = Floors().raised_by(NOW)
    check_floors(floors, NOW)
    check_floors(floors, LATER)
    fewer = smith.collateral(tcb=lambda info: info.update(tcbEvaluationDataNumber=17), at=smith.AT + 2 * DAY)
    with pytest.raises(RollbackError, match="tcb-info/sgx has number 17, 18 was seen before") as caught:
        check_floors(floors, observe(fewer, Tee.SGX))
    assert caught.value.code is Code.COLLATERAL_ROLLBACK
    with pytest.raises(RollbackError) as caught:
        check_floors(floors.raised_by(LATER), NOW)
    assert caught.value.detail.count("crl/") == 2


def test_a_clock_that_goes_back() -> None:
    """Time of verification is never before what was already published."""
    year = timedelta(days=365)
    assert NOW.verification_time(smith.AT - year) == NOW.time
    assert NOW.verification_time(smith.AT + year) == smith.AT + year
    assert Floors().verification_time(smith.AT) == smith.AT


@settings(max_examples=10, deadline=None)
@given(NUMBERS, NUMBERS)
def test_raising(first: dict[str, int], second: dict[str, int]) -> None:
    """Whatever comes in whatever order: floors never fall, and what raised them is no rollback."""
    one, two = Floors(numbers=first, time=smith.AT), Floors(numbers=second)
    both = one.raised_by(two)
    assert both == two.raised_by(one) == both.raised_by(one)
    assert all(both.numbers[name] >= number for name, number in (*first.items(), *second.items()))
    assert Floors.decode(both.encode()) == both
    check_floors(one, both)
    check_floors(two, both)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"numbers":{},"time":null,"version":2}',
        b'{"numbers":{"a":-1},"time":null,"version":1}',
        b'{"numbers":{"a":true},"time":null,"version":1}',
        b'{"numbers":{},"time":"2026-01-01T00:00:00","version":1}',
        b'{"numbers":[1],"time":null,"version":1}',
        b'{"numbers":{},"time":null,"version":1,"x":1}',
        b" " * 70_000,
    ],
)
def test_what_is_no_floors(raw: bytes) -> None:
    """Bytes that were not written by ``encode`` are refused, never read as no floors."""
    with pytest.raises(FloorsError):
        Floors.decode(raw)


def test_unreadable_collateral() -> None:
    """What cannot be read shows nothing."""
    for change in ({"tcb_info": "{}"}, {"pck_crl": b"0"}):
        with pytest.raises(FloorsError):
            observe(smith.collateral(**change), Tee.SGX)
