"""The package that comes closest to an enclave, and the smallest change that would admit it.

A change is a JSON Patch (RFC 6902) of the manifest. Whether it is wise is for the people who approve it: what
it weakens is said beside it. Rules are ``appraisal``'s; none is repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from marbleops.attestation.appraisal import DEFAULT_TCB_STATUSES, ReferenceValues, appraise
from marbleops.attestation.verdict import Report, TcbStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marbleops.attestation.verdict import Check, Verdict

_BINDING: Final = ("Report data",)
"""Checks about one connection, which a file does not have."""
_WEIGHT: Final = {"SignerID": 4, "UniqueID": 4, "ProductID": 3, "Package": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One operation of the patch; ``weakens`` says what is given up by it, if anything."""

    op: str
    path: str
    value: Any
    weakens: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the operation as RFC 6902 writes it."""
        return {"op": self.op, "path": self.path, "value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The closest package: ``differs`` are the failing checks, ``edits`` what would admit the enclave.

    ``impossible`` says why no manifest can admit it; then there are no edits.
    """

    package: str
    admitted: bool
    differs: tuple[Check, ...]
    edits: tuple[Edit, ...]
    impossible: str = ""


def nearest(verdict: Verdict, packages: Mapping[str, ReferenceValues]) -> Nearest | None:
    """Find the closest of ``packages``; none where there are none, or the evidence is no enclave's.

    ``verdict`` is to be made with debug allowed: a Coordinator decides that by the package.
    """
    if not packages or not isinstance(verdict.report, Report):
        return None
    best = min(packages, key=lambda name: (_distance(verdict, packages[name]), name))
    failing = _failing(verdict, packages[best])
    impossible = _impossible(verdict)
    edits = () if impossible else _edits(best, verdict, verdict.report, packages[best], failing)
    return Nearest(
        package=best,
        admitted=not failing,
        differs=failing,
        edits=edits if failing else (),
        impossible=impossible,
    )


def _failing(verdict: Verdict, reference: ReferenceValues) -> tuple[Check, ...]:
    assert verdict.report is not None
    bound = appraise(verdict, reference, report_data=verdict.report.report_data[:32])
    return tuple(check for check in bound.checks if not check.ok and check.name not in _BINDING)


def _distance(verdict: Verdict, reference: ReferenceValues) -> int:
    # Another signer is further away than another version: that is another vendor's enclave.
    return sum(_WEIGHT.get(check.name, 1) for check in _failing(verdict, reference))


def _impossible(verdict: Verdict) -> str:
    if not verdict.accepted:
        return f"the evidence does not verify ({verdict.code}), and no manifest changes that"
    if verdict.status is TcbStatus.REVOKED:
        return "the platform is revoked, and no manifest can accept that"
    if verdict.report is not None and any(verdict.report.report_data[32:]):
        return "the second half of the report data is not zero, which no package can allow"
    return ""


def _edits(
    name: str, verdict: Verdict, report: Report, reference: ReferenceValues, failing: tuple[Check, ...]
) -> tuple[Edit, ...]:
    base = f"/Packages/{name.replace('~', '~0').replace('/', '~1')}"
    values: dict[str, tuple[str, Any, Any, str]] = {
        "Debug": (
            "Debug",
            None,
            report.debug,
            "a debug enclave keeps no secrets from its host" * report.debug,
        ),
        "UniqueID": ("UniqueID", reference.unique_id, report.unique_id.hex(), "another build is let in"),
        "SignerID": ("SignerID", reference.signer_id, report.signer_id.hex(), "another signer is trusted"),
        "ProductID": ("ProductID", reference.product_id, report.product_id, "another product is let in"),
        "SecurityVersion": (
            "SecurityVersion",
            reference.security_version,
            report.security_version,
            "older builds are let in, with the flaws that later ones fixed",
        ),
        "Package": ("UniqueID", reference.unique_id, report.unique_id.hex(), ""),
    }
    edits: dict[str, Edit] = {}
    for check in failing:
        if check.name in values:
            member, old, new, weakens = values[check.name]
            op = "add" if old is None or old == "" else "replace"
            edits[member] = Edit(op=op, path=f"{base}/{member}", value=new, weakens=weakens)
        elif check.name == "TCB status" and verdict.status is not None:
            edits |= _accept_status(base, reference, verdict.status)
    needed = replace(reference, accepted_tcb_statuses=_statuses(reference, verdict.status))
    if any(check.name == "Advisories" for check in _failing(verdict, needed)):
        missing = [one for one in verdict.advisories if one not in reference.accepted_advisories]
        value = [*reference.accepted_advisories, *missing]
        path, weakens = f"{base}/AcceptedAdvisories", f"flaws are accepted: {', '.join(missing)}"
        edits["AcceptedAdvisories"] = Edit(op="replace", path=path, value=value, weakens=weakens)
    return tuple(edits.values())


def _accept_status(base: str, reference: ReferenceValues, status: TcbStatus) -> dict[str, Edit]:
    path, value = f"{base}/AcceptedTCBStatuses", list(_statuses(reference, status))
    op = "replace" if reference.accepted_tcb_statuses else "add"
    weakens = f"platforms that are {status} are let in"
    return {"AcceptedTCBStatuses": Edit(op=op, path=path, value=value, weakens=weakens)}


def _statuses(reference: ReferenceValues, status: TcbStatus | None) -> tuple[str, ...]:
    # 10.4: a list replaces the default, so the default has to be repeated to be kept.
    listed = reference.accepted_tcb_statuses or DEFAULT_TCB_STATUSES
    return tuple(dict.fromkeys((*listed, *([status.value] if status is not None else []))))
