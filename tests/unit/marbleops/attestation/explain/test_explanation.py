"""One page about evidence: fields, dates, levels, the closest package, and the next TCB set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import ReferenceValues, appraise
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.explain.explanation import Explanation, explain
from marbleops.attestation.explain.forecast import look_ahead
from marbleops.attestation.explain.ladder import to_the_top
from marbleops.attestation.explain.nearest import Nearest, nearest
from marbleops.attestation.platform.softcollateral import build_collateral
from marbleops.attestation.verdict import Code, Tee, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from marbleops.attestation.collateral import Collateral

GOOD = smith.collateral()
QUOTE = smith.raw_quote()
ANCHORS = Anchors.simulation(smith.ANCHOR)
IDENTITY = smith.IDENTITY
PINNED = ReferenceValues(unique_id=IDENTITY.unique_id.hex())
SIGNED = ReferenceValues(signer_id=IDENTITY.signer_id.hex(), product_id=7, security_version=3)


def verify(quote: bytes = QUOTE, collateral: Collateral = GOOD, *, allow_debug: bool = True) -> Verdict:
    return verify_quote(quote, collateral, anchors=ANCHORS, at=smith.AT, allow_debug=allow_debug)


def page(quote: bytes, collateral: Collateral | None) -> Explanation:
    verdict = verify(quote, collateral) if collateral else None
    return explain(quote, collateral, verdict, form="raw bytes", at=smith.AT)


def raised(component: int, by: int, **told: str) -> Callable[[dict[str, Any]], None]:
    """Return an edit that makes one component too old for every level."""

    def edit(info: dict[str, Any]) -> None:
        for level in info["tcbLevels"]:
            entry = level["tcb"]["sgxtcbcomponents"][component]
            entry["svn"] += by
            entry.update(told)

    return edit


def test_a_whole_page() -> None:
    """Who it is, the chain with its dates, each document, and the rung on which the platform stands."""
    found = page(QUOTE, GOOD)
    rows = {row.label: row.value for row in found.rows}

    assert rows["UniqueID (MRENCLAVE)"] == IDENTITY.unique_id.hex()
    assert (rows["debug"], rows["attributes"]) == ("no", "initialised, 64-bit, KSS")
    assert [one.name for one in found.documents] == ["TCB info", "QE identity", "PCK CRL", "Root CRL"]
    assert len(found.certificates) == 4
    assert all(one.current(smith.AT) for one in (*found.certificates, *found.documents))
    assert [ladder[0].of for ladder in found.ladders] == ["platform", "quoting enclave"]
    assert [ladder[0].stands_here for ladder in found.ladders] == [True, True]
    assert not any(to_the_top(ladder) for ladder in found.ladders)


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ({}, "microcode"),
        ({"category": "BIOS"}, "a BIOS update"),
        ({"category": "OS/VMM", "type": "SEAMLDR ACM"}, "a newer SEAM loader"),
        ({"type": "x" * 100}, "x" * 60),
    ],
)
def test_the_gap_says_what_to_update(told: dict[str, str], cure: str) -> None:
    """In Intel's own words where there are some; the name of a component stands as it came, shortened."""
    short = smith.collateral(tcb=raised(7, 9, **told))
    found = page(QUOTE, short)

    assert found.verdict is not None
    assert found.verdict.code is Code.TCB_NOT_SUPPORTED
    (gap,) = to_the_top(found.ladders[0])
    assert str(gap) == f"sgx[7] {gap.has} < {gap.needs}: needs {cure}"
    assert not any(rung.stands_here for rung in found.ladders[0])


def test_trust_domains_have_a_ladder_more() -> None:
    """The module has levels of its own; an outdated one says what it needs."""
    collateral = build_collateral(smith.PKI, at=smith.AT, tee=Tee.TDX)
    found = page(tdsmith.quote(tee_tcb_svn=tdsmith.svn(4, 1, 3)), collateral)

    assert [ladder[0].of for ladder in found.ladders] == ["platform", "quoting enclave", "TDX module"]
    assert [str(gap) for gap in to_the_top(found.ladders[2])] == [
        "TDX module isvsvn 4 < 6: needs a newer TDX module"
    ]


@pytest.mark.parametrize("content", [b"", b"junk", QUOTE[:900], b"\2\0\0\0" + bytes(1180)])
def test_what_cannot_be_read_is_told(content: bytes) -> None:
    """With and without collateral; nothing is raised."""
    assert page(content, None).unreadable
    assert page(content, GOOD).rows == ()


def test_levels_are_shown_although_the_verification_ended_before() -> None:
    """A revoked certificate does not hide that the microcode is old, too."""
    revoked = build_collateral(smith.PKI, at=smith.AT, revoke_pck=True)
    found = page(QUOTE, revoked)

    assert found.verdict is not None
    assert (found.verdict.code, found.verdict.platform) == (Code.CERT_REVOKED, None)
    assert found.ladders[0][0].stands_here


def closest(packages: dict[str, ReferenceValues], quote: bytes = QUOTE, **levels: Any) -> Nearest:
    collateral = build_collateral(smith.PKI, at=smith.AT, **levels)
    found = nearest(verify(quote, collateral), packages)
    assert found is not None
    return found


OTHER = ReferenceValues(signer_id="ab" * 32, product_id=9, security_version=1)
NEWER = ReferenceValues(signer_id=IDENTITY.signer_id.hex(), product_id=7, security_version=8)
OUTDATED = {"tcb_status": "OutOfDate", "advisories": ("INTEL-SA-1",)}
HARDENING = {"tcb_status": "SWHardeningNeeded", "advisories": ("INTEL-SA-1",)}
LISTED = ReferenceValues(unique_id=PINNED.unique_id, accepted_advisories=("INTEL-SA-2",))


@pytest.mark.parametrize(
    ("packages", "levels", "package", "patch"),
    [
        ({"a": OTHER, "b/c~": NEWER}, {}, "b/c~", [("replace", "/Packages/b~1c~0/SecurityVersion", 3)]),
        ({"a": OTHER, "p": PINNED}, {}, "p", []),
        (
            {"p": PINNED},
            OUTDATED,
            "p",
            [("add", "/Packages/p/AcceptedTCBStatuses", ["SWHardeningNeeded", "OutOfDate"])],
        ),
        (
            {"p": LISTED},
            HARDENING,
            "p",
            [("replace", "/Packages/p/AcceptedAdvisories", ["INTEL-SA-2", "INTEL-SA-1"])],
        ),
        ({"p": ReferenceValues()}, {}, "p", [("add", "/Packages/p/UniqueID", IDENTITY.unique_id.hex())]),
        (
            {"p": ReferenceValues(unique_id="00" * 32, debug=True)},
            {},
            "p",
            [
                ("add", "/Packages/p/Debug", False),
                ("replace", "/Packages/p/UniqueID", IDENTITY.unique_id.hex()),
            ],
        ),
    ],
)
def test_the_smallest_change_admits_it(
    packages: dict[str, ReferenceValues],
    levels: dict[str, Any],
    package: str,
    patch: list[tuple[str, str, Any]],
) -> None:
    """The closest package, the operations, and the proof: with them, the appraisal accepts."""
    found = closest(packages, **levels)

    assert (found.package, found.admitted) == (package, not patch)
    assert [(edit.op, edit.path, edit.value) for edit in found.edits] == patch
    members = {edit.path.rsplit("/", 1)[1]: edit.value for edit in found.edits}
    names = {
        "Debug": "debug",
        "UniqueID": "unique_id",
        "SecurityVersion": "security_version",
        "AcceptedTCBStatuses": "accepted_tcb_statuses",
        "AcceptedAdvisories": "accepted_advisories",
    }
    kept = {name: getattr(packages[package], name) for name in ReferenceValues.__slots__}
    changed = ReferenceValues(**kept | {names[name]: value for name, value in members.items()})
    verdict = verify(QUOTE, build_collateral(smith.PKI, at=smith.AT, **levels))
    assert appraise(verdict, changed, report_data=smith.REPORT_DATA).accepted


def test_what_no_manifest_admits() -> None:
    """Evidence that does not verify, and report data of another length: no patch, but the reason."""
    forged = closest({"p": PINNED}, smith.patched(QUOTE, 120, b"\1"))
    long = closest({"p": PINNED}, smith.raw_quote(report_data=b"\7" * 64))

    assert (forged.edits, long.edits) == ((), ())
    assert "QUOTE_SIGNATURE" in forged.impossible
    assert "second half" in long.impossible
    assert nearest(verify(), {}) is None
    assert nearest(verify(tdsmith.quote()), {"p": PINNED}) is None


def test_a_forecast_names_component_and_advisory() -> None:
    """The same platform under the next set: outdated, by which component, for which advisory."""

    def following(info: dict[str, Any]) -> None:
        info["tcbEvaluationDataNumber"] = 19
        best = info["tcbLevels"][0]
        older = {**best, "tcbStatus": "OutOfDate", "advisoryIDs": ["INTEL-SA-01234"]}
        newest = {**best, "tcb": {**best["tcb"], "sgxtcbcomponents": [*best["tcb"]["sgxtcbcomponents"]]}}
        first = newest["tcb"]["sgxtcbcomponents"][1]
        newest["tcb"]["sgxtcbcomponents"][1] = {"svn": first["svn"] + 1, "type": "SGX Late Microcode Update"}
        info["tcbLevels"] = [newest, older, *info["tcbLevels"][1:]]

    later = smith.collateral(tcb=following)
    ladders = page(QUOTE, later).ladders
    answer = look_ahead(verify(), verify(QUOTE, later), ladders, accepted=("SWHardeningNeeded",))

    assert (answer.passes_today, answer.passes_next) == (True, False)
    assert answer.advisories == ("INTEL-SA-01234",)
    (part,) = answer.parts
    assert (part.of, part.status, part.advisories) == ("platform", "OutOfDate", ("INTEL-SA-01234",))
    assert [gap.component for gap in part.gaps] == ["sgx[1]"]
    assert str(part.gaps[0]).endswith("needs microcode (with the operating system)")
    assert look_ahead(verify(), verify(), ladders, accepted=()).parts == ()
    assert look_ahead(verify(), verify(QUOTE, later), ladders, accepted=("OutOfDate",)).passes_next
