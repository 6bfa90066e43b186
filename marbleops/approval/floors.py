"""SecurityVersion floors: what was enforced once is never undercut (approvals.md section 3).

A floor is kept per package name, for ever, and per (SignerID, ProductID) for packages that are new under
their identity. Beside them stand the *attested* versions, the highest ISVSVN a verified activation has shown:
they bound what a package bump may raise to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from marbleops.approval import jsonread
from marbleops.approval.limits import MAX_FLOORS

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest, Package

Identity = tuple[str, int]
"""SignerID in lower-case hexadecimal, and ProductID."""

AttestedVersions = Mapping[tuple[str, str, int], int]
"""The highest attested ISVSVN by (package name, SignerID, ProductID)."""

_MAX_NAME = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """The lowest SecurityVersion each package name and each identity may still have."""

    names: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    identities: Mapping[Identity, int] = field(default_factory=lambda: MappingProxyType({}))


NO_FLOORS = Floors()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorViolation:
    """A package that would fall below a floor. ``offered`` is ``None`` where the pin is dropped."""

    package: str
    floor: int
    offered: int | None
    words: str


def identity_of(package: Package) -> Identity | None:
    """Return the pair that names the product, or ``None`` where it is not fully pinned."""
    if package.signer_id is None or package.product_id is None:
        return None
    return package.signer_id.lower(), package.product_id


def allowed_decreases(manifest: Manifest) -> frozenset[str]:
    """Return the packages that the manifest itself declares to decrease in this transition."""
    return frozenset(manifest.gitops.allow_security_version_decrease if manifest.gitops else ())


def violations(floors: Floors, old: Manifest | None, new: Manifest) -> tuple[FloorViolation, ...]:
    """List every package of *new* that undercuts a floor, declared or not, in order of name.

    An existing name that takes on another (SignerID, ProductID) counts as new for that pair: otherwise a
    spare package could be re-labelled to an old build of a product whose floor is higher.
    """
    found = []
    for name in sorted(new.packages):
        package = new.packages[name]
        before = old.packages.get(name) if old else None
        words, floor = "enforced before under this name", floors.names.get(name)
        identity = identity_of(package)
        same = before is not None and identity_of(before) == identity
        if identity is not None and not same:
            pair_floor = floors.identities.get(identity)
            if pair_floor is not None and (floor is None or pair_floor > floor):
                words, floor = "enforced before for this SignerID and ProductID", pair_floor
        if floor is None:
            continue
        offered = package.security_version
        if offered is None and before is not None and before.security_version is None and same:
            continue  # dropped earlier, with permission: its floor waits for the pin's return
        if offered is None or offered < floor:
            found.append(FloorViolation(package=name, floor=floor, offered=offered, words=words))
    return tuple(found)


def advance(
    floors: Floors, old: Manifest | None, new: Manifest, *, declared: frozenset[str] | None = None
) -> Floors:
    """Return the floors after *new* is enforced: raised everywhere, lowered only where it is declared.

    By *new* itself, unless *declared* lists the packages: that is for deployments without signed commits.
    A declared decrease sets the name's floor to the new value and the pair's to the highest value still
    listed for it; a name whose pin is dropped keeps its floor for its return.
    """
    allowed = allowed_decreases(new) if declared is None else declared
    declared = allowed & {violation.package for violation in violations(floors, old, new)}
    names, identities = dict(floors.names), dict(floors.identities)
    for name in declared:
        package = new.packages[name]
        if package.security_version is None:
            continue
        names[name] = package.security_version
        identity = identity_of(package)
        if identity is not None:
            identities[identity] = _highest_listed(new, identity)
    for name, package in new.packages.items():
        if package.security_version is None:
            continue
        names[name] = max(names.get(name, 0), package.security_version)
        identity = identity_of(package)
        if identity is not None:
            identities[identity] = max(identities.get(identity, 0), package.security_version)
    return Floors(names=MappingProxyType(names), identities=MappingProxyType(identities))


def carry_attested(attested: AttestedVersions, old: Manifest | None, new: Manifest) -> AttestedVersions:
    """Return what stays attested after *new*: forgotten where the identity changes or the floor is decreased.

    *old* is ``None`` at genesis, when nothing was attested yet.
    """
    decreased = allowed_decreases(new)
    kept = {}
    for (name, signer, product), version in attested.items():
        package = new.packages.get(name)
        before = old.packages.get(name) if old else None
        if package is None or before is None or name in decreased:
            continue
        if identity_of(package) == identity_of(before) == (signer, product):
            kept[(name, signer, product)] = version
    return MappingProxyType(kept)


def floors_to_json(floors: Floors) -> dict[str, object]:
    """Render floors in the form of the policy answer and of records."""
    return {
        "names": dict(sorted(floors.names.items())),
        "identities": [
            {"signerID": signer, "productID": product, "securityVersion": version}
            for (signer, product), version in sorted(floors.identities.items())
        ],
    }


def floors_from_json(value: object) -> Floors:
    """Read floors strictly; raises JsonShapeError."""
    outer = jsonread.members(value, required=("names", "identities"))
    if not isinstance(outer["names"], dict) or len(outer["names"]) > MAX_FLOORS:
        raise jsonread.JsonShapeError("names: expected an object of bounded size")
    names = {
        jsonread.text(name, name="names", max_chars=_MAX_NAME): jsonread.integer(version, name="names")
        for name, version in outer["names"].items()
    }
    identities: dict[Identity, int] = {}
    for row in jsonread.items(outer["identities"], name="identities", max_items=MAX_FLOORS):
        entry = jsonread.members(row, required=("signerID", "productID", "securityVersion"))
        signer = jsonread.text(entry["signerID"], name="signerID", max_chars=_MAX_NAME)
        product = jsonread.integer(entry["productID"], name="productID")
        if (signer, product) in identities:
            raise jsonread.JsonShapeError("identities: a pair stands twice")
        identities[(signer, product)] = jsonread.integer(entry["securityVersion"], name="securityVersion")
    return Floors(names=MappingProxyType(names), identities=MappingProxyType(identities))


def attested_to_json(attested: AttestedVersions) -> list[dict[str, object]]:
    """Render attested versions in the form of the policy answer and of records."""
    return [
        {"package": name, "signerID": signer, "productID": product, "securityVersion": version}
        for (name, signer, product), version in sorted(attested.items())
    ]


def attested_from_json(value: object) -> AttestedVersions:
    """Read attested versions strictly; raises JsonShapeError."""
    attested: dict[tuple[str, str, int], int] = {}
    for row in jsonread.items(value, name="attested", max_items=MAX_FLOORS):
        entry = jsonread.members(row, required=("package", "signerID", "productID", "securityVersion"))
        key = (
            jsonread.text(entry["package"], name="package", max_chars=_MAX_NAME),
            jsonread.text(entry["signerID"], name="signerID", max_chars=_MAX_NAME),
            jsonread.integer(entry["productID"], name="productID"),
        )
        if key in attested:
            raise jsonread.JsonShapeError("attested: a build stands twice")
        attested[key] = jsonread.integer(entry["securityVersion"], name="securityVersion")
    return MappingProxyType(attested)


def _highest_listed(manifest: Manifest, identity: Identity) -> int:
    return max(
        package.security_version
        for package in manifest.packages.values()
        if identity_of(package) == identity and package.security_version is not None
    )
