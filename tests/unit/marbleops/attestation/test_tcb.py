"""Levels are matched and statuses joined as attestation.md 2.2 and 2.3 say."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from conformance import quotesmith as smith
from marbleops.attestation.checks import RejectedError
from marbleops.attestation.tcb import (
    converge,
    match_platform,
    match_qe,
    parse_qe_identity,
    parse_tcb_info,
    shortfalls,
)
from marbleops.attestation.verdict import Code, TcbStatus

S = TcbStatus
INFO: dict[str, Any] = json.loads(smith.collateral().tcb_info)
IDENTITY: dict[str, Any] = json.loads(smith.collateral().qe_identity)

# attestation.md 2.3, one row per platform status: QE UpToDate, OutOfDate, Revoked.
CONVERGENCE = {
    S.UP_TO_DATE: (S.UP_TO_DATE, S.OUT_OF_DATE, S.REVOKED),
    S.SW_HARDENING_NEEDED: (S.SW_HARDENING_NEEDED, S.OUT_OF_DATE, S.REVOKED),
    S.CONFIGURATION_NEEDED: (S.CONFIGURATION_NEEDED, S.OUT_OF_DATE_CONFIGURATION_NEEDED, S.REVOKED),
    S.CONFIGURATION_AND_SW_HARDENING_NEEDED: (
        S.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        S.OUT_OF_DATE_CONFIGURATION_NEEDED,
        S.REVOKED,
    ),
    S.OUT_OF_DATE: (S.OUT_OF_DATE, S.OUT_OF_DATE, S.REVOKED),
    S.OUT_OF_DATE_CONFIGURATION_NEEDED: (
        S.OUT_OF_DATE_CONFIGURATION_NEEDED,
        S.OUT_OF_DATE_CONFIGURATION_NEEDED,
        S.REVOKED,
    ),
    S.TD_RELAUNCH_ADVISED: (S.TD_RELAUNCH_ADVISED, S.TD_RELAUNCH_ADVISED, S.REVOKED),
    S.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED: (
        S.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
        S.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
        S.REVOKED,
    ),
    S.REVOKED: (S.REVOKED, S.REVOKED, S.REVOKED),
}


def test_convergence() -> None:
    """The whole table; no platform status is left out."""
    assert set(CONVERGENCE) == set(TcbStatus)
    for platform, row in CONVERGENCE.items():
        joined = tuple(converge(platform, qe) for qe in (S.UP_TO_DATE, S.OUT_OF_DATE, S.REVOKED))
        assert joined == row


def test_convergence_never_improves() -> None:
    """Joining with anything but UpToDate never yields UpToDate."""
    for platform, qe in itertools.product(TcbStatus, repeat=2):
        if S.UP_TO_DATE not in (platform, qe) or platform is not qe:
            assert converge(platform, qe) is not S.UP_TO_DATE


def test_levels_are_sorted_before_they_are_matched() -> None:
    """The order of the published list does not matter."""
    shuffled = INFO | {"tcbLevels": INFO["tcbLevels"][::-1]}

    assert parse_tcb_info(json.dumps(shuffled)) == parse_tcb_info(json.dumps(INFO))


def test_every_component_must_be_reached() -> None:
    """One component below a level is enough to miss it; the gap is named."""
    levels = parse_tcb_info(json.dumps(INFO)).levels
    best = levels[0]
    low = (0, *best.components[1:])

    assert match_platform(levels, best.components, 13) is best
    assert match_platform(levels, best.components, 12) is levels[2]
    assert match_platform(levels, low, 13) is None
    assert shortfalls(levels, low, 4) == "sgx[0] 0<2, pcesvn 4<5"
    assert shortfalls((), low, 4) == "no level is published"


def test_qe_levels() -> None:
    """A quoting enclave matches the best level at or below its version."""
    levels = parse_qe_identity(json.dumps(IDENTITY)).levels

    assert [match_qe(levels, svn) for svn in (9, 8, 7, 5)] == [levels[0], levels[0], levels[1], None]


def test_version_2_of_tcb_info() -> None:
    """The older layout with numbered components means the same (attestation.md 2.7)."""
    old = {name: value for name, value in INFO.items() if name != "id"} | {"version": 2, "tcbLevels": []}
    for level in INFO["tcbLevels"]:
        components = level["tcb"]["sgxtcbcomponents"]
        numbered = {f"sgxtcbcomp{n:02d}svn": entry["svn"] for n, entry in enumerate(components, 1)}
        old["tcbLevels"].append(level | {"tcb": numbered | {"pcesvn": level["tcb"]["pcesvn"]}})

    assert parse_tcb_info(json.dumps(old)).levels == parse_tcb_info(json.dumps(INFO)).levels


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 4}, Code.TCB_INFO_TYPE),
        ({"version": True}, Code.TCB_INFO_FORMAT),
        ({"tcbType": 1}, Code.TCB_INFO_TYPE),
        ({"fmspc": "50FF"}, Code.TCB_INFO_FORMAT),
        ({"fmspc": "50 FF 00 00 00 00"}, Code.TCB_INFO_FORMAT),
        ({"pceId": 0}, Code.TCB_INFO_FORMAT),
        ({"issueDate": "2026-06-01"}, Code.TCB_INFO_FORMAT),
        ({"tcbLevels": {}}, Code.TCB_INFO_FORMAT),
        ({"tcbLevels": [{}]}, Code.TCB_INFO_FORMAT),
        ({"tcbLevels": [[]] * 129}, Code.TCB_INFO_FORMAT),
        ({"tcbEvaluationDataNumber": -1}, Code.TCB_INFO_FORMAT),
        ({"tcbEvaluationDataNumber": 18.0}, Code.TCB_INFO_FORMAT),
    ],
)
def test_misshapen_tcb_info(change: dict[str, Any], code: Code) -> None:
    """A member of another type, size or range is refused."""
    with pytest.raises(RejectedError) as caught:
        parse_tcb_info(json.dumps(INFO | change))

    assert caught.value.code is code


def test_every_member_is_needed() -> None:
    """Without any one of the members that are used, nothing is accepted."""
    for document, parse in ((INFO, parse_tcb_info), (IDENTITY, parse_qe_identity)):
        for name in document:
            with pytest.raises(RejectedError):
                parse(json.dumps({key: value for key, value in document.items() if key != name}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a":NaN}', '{"id":"SGX","id":"SGX"}', "[" * 100_000, "9" * 5000]
)
def test_not_even_json(text: str) -> None:
    """Text that is not one JSON object is a format error, however deep or long."""
    with pytest.raises(RejectedError) as caught:
        parse_tcb_info(text)

    assert caught.value.code is Code.TCB_INFO_FORMAT
