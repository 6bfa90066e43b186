"""SecurityVersion never decreases: approvals.md section 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import scenario
from marbleops.approval.floors import (
    NO_FLOORS,
    Floors,
    advance,
    attested_from_json,
    attested_to_json,
    carry_attested,
    floors_from_json,
    floors_to_json,
    violations,
)
from marbleops.approval.jsonread import JsonShapeError
from marbleops.manifest.parse import Strictness, load

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest

PAIR = (scenario.SIGNER, scenario.PRODUCT)


def manifest(allow: tuple[str, ...] = (), /, **packages: dict[str, Any] | None) -> Manifest:
    document = scenario.base()
    for name, package in packages.items():
        if package is None:
            del document["Packages"][name]
        else:
            document["Packages"][name] = package
    if "backend" not in document["Packages"]:
        document["Marbles"]["backend"]["Package"] = "frontend"
        document["Roles"]["release"]["ResourceNames"] = ["frontend"]
    if allow:
        document["GitOps"]["AllowSecurityVersionDecrease"] = list(allow)
    return load(scenario.raw(document), strictness=Strictness.STRICT)


def pinned(
    version: int | None, *, signer: str = scenario.SIGNER, product: int = scenario.PRODUCT
) -> dict[str, Any]:
    package: dict[str, Any] = {"SignerID": signer, "ProductID": product}
    if version is None:
        return package | {"Debug": True}
    return package | {"SecurityVersion": version}


OLD = manifest()
FLOORS = advance(NO_FLOORS, None, OLD)


def test_floors_rise_with_what_is_enforced() -> None:
    """Name and pair take the higher value; nothing falls by itself."""
    raised = advance(FLOORS, OLD, manifest(backend=pinned(8)))
    assert raised.names["backend"] == 8
    assert raised.identities[PAIR] == 8


@pytest.mark.parametrize("offered", [4, 0, None])
def test_a_lower_or_dropped_pin_violates(offered: int | None) -> None:
    """Dropping the pin counts as a decrease."""
    (found,) = violations(FLOORS, OLD, manifest(backend=pinned(offered)))
    assert (found.package, found.floor, found.offered) == ("backend", 5, offered)


def test_removal_is_no_decrease_but_the_floor_stays_for_the_return() -> None:
    """Remove and re-add with a lower version: the name remembers."""
    without = manifest(backend=None)
    assert violations(FLOORS, OLD, without) == ()
    kept = advance(FLOORS, OLD, without)
    assert [found.package for found in violations(kept, without, manifest(backend=pinned(4)))] == ["backend"]
    assert [found.package for found in violations(kept, without, manifest(backend=pinned(None)))] == [
        "backend"
    ]


def test_a_new_name_starts_at_the_pairs_floor() -> None:
    """The same product under another name cannot restart below what was enforced."""
    assert violations(FLOORS, OLD, manifest(renamed=pinned(5))) == ()
    (found,) = violations(FLOORS, OLD, manifest(renamed=pinned(4)))
    assert (found.package, found.floor) == ("renamed", 5)
    assert violations(FLOORS, OLD, manifest(renamed=pinned(0, signer=scenario.OTHER_SIGNER))) == ()


def test_an_old_name_relabelled_to_another_product_meets_that_products_floor() -> None:
    """A spare package cannot become an old build of backend."""
    (found,) = violations(FLOORS, OLD, manifest(frontend=pinned(4)))
    assert (found.package, found.floor) == ("frontend", 5)


def test_identities_ignore_case() -> None:
    """SignerID is hexadecimal: the same pair in capitals is the same pair."""
    (found,) = violations(FLOORS, OLD, manifest(renamed=pinned(4, signer=scenario.SIGNER.upper())))
    assert found.package == "renamed"


def test_a_declared_decrease_lowers_name_and_pair() -> None:
    """The pair falls to the highest value still listed for it."""
    new = manifest(("backend",), backend=pinned(3), spare=pinned(5))
    lowered = advance(FLOORS, OLD, new)
    assert lowered.names["backend"] == 3
    assert lowered.identities[PAIR] == 5
    alone = advance(FLOORS, OLD, manifest(("backend",), backend=pinned(3)))
    assert alone.identities[PAIR] == 3


def test_a_permitted_drop_of_the_pin_keeps_the_floor() -> None:
    """Without a new value there is nothing to set the floor to; staying unpinned is no further decrease."""
    dropped = manifest(("backend",), backend=pinned(None))
    kept = advance(FLOORS, OLD, dropped)
    assert kept == FLOORS
    assert violations(kept, dropped, manifest(backend=pinned(None))) == ()
    assert violations(kept, dropped, manifest(backend=pinned(4))) != ()


def test_attested_versions_are_forgotten_with_their_identity() -> None:
    """Another signer, a removed package or a decrease: what was attested says nothing any more."""
    attested = {("backend", *PAIR): 9, ("frontend", scenario.SIGNER, 16): 4}
    assert carry_attested(attested, OLD, manifest(backend=pinned(6))) == attested
    moved = carry_attested(attested, OLD, manifest(backend=pinned(6, signer=scenario.OTHER_SIGNER)))
    assert set(moved) == {("frontend", scenario.SIGNER, 16)}
    assert ("backend", *PAIR) not in carry_attested(attested, OLD, manifest(("backend",), backend=pinned(3)))
    assert carry_attested(attested, None, OLD) == {}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["backend", "frontend", "x"]), st.integers(0, 9)), max_size=6))
def test_floors_never_fall_without_a_declaration(steps: list[tuple[str, int]]) -> None:
    """Whatever is enforced in whatever order, no floor falls."""
    floors, old = FLOORS, OLD
    for name, version in steps:
        new = manifest(**{name: pinned(version, product=16 if name == "frontend" else scenario.PRODUCT)})
        after = advance(floors, old, new)
        assert all(after.names[known] >= floor for known, floor in floors.names.items())
        assert all(after.identities[known] >= floor for known, floor in floors.identities.items())
        floors, old = after, new


def test_json_forms_are_inverse() -> None:
    """Floors and attested versions survive the wire."""
    attested = {("backend", *PAIR): 9}
    assert floors_from_json(floors_to_json(FLOORS)) == FLOORS
    assert attested_from_json(attested_to_json(attested)) == attested
    assert floors_from_json({"names": {}, "identities": []}) == Floors()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {"names": {}},
        {"names": [], "identities": []},
        {"names": {"a": True}, "identities": []},
        {"names": {"a": -1}, "identities": []},
        {"names": {}, "identities": [{"signerID": "a", "productID": 1, "securityVersion": 1}] * 2},
    ],
)
def test_floors_are_read_strictly(bad: object) -> None:
    """Anything but the exact form is refused."""
    with pytest.raises(JsonShapeError):
        floors_from_json(bad)
    with pytest.raises(JsonShapeError):
        attested_from_json(bad)
