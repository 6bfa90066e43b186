"""Cases of `appraise`, which asks whether evidence shows the enclave that a package describes.

Input: ``evidence`` (base64, raw quote or Open Enclave report), ``collateral`` (the JSON document with dcap-qvl's
names), ``anchor`` (base64 of the root certificate in DER), ``at`` (RFC 3339), ``reference`` (a package, as a manifest
spells it) and ``reportData`` (hex of the expected first 32 bytes). A debug enclave verifies; the package decides.
Answer: ``verdict`` accept or reject, ``code`` and ``status`` of the verification, ``failing``: names of the fields
that differ.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from conformance import quotesmith as smith

if TYPE_CHECKING:
    from marbleops.attestation.collateral import Collateral

Case = dict[str, Any]

_CODES = "attestation.md 2.8"
_PACKAGE = "marblerun-core 1.2, 10.3"
_TCB = "marblerun-core 10.4"
_SIGNER = {"SignerID": smith.IDENTITY.signer_id.hex(), "ProductID": 7, "SecurityVersion": 3}
_UNIQUE = {"UniqueID": smith.IDENTITY.unique_id.hex()}
_VERIFICATION = (
    "trailing-zeros",
    "trailing-junk",
    "truncated",
    "unique-id-tampered",
    "attestation-key-swapped",
    "root-untrusted",
    "tcb-signed-by-pck",
    "pck-revoked",
    "pck-crl-expired",
    "tcb-expired",
    "tcb-reserialised",
    "pcesvn-too-low",
    "platform-revoked",
)

CASES: list[Case] = []


def _case(
    case_id: str,
    why: str,
    spec: str,
    *,
    expected: dict[str, Any],
    reference: dict[str, Any] | None = None,
    evidence: bytes | None = None,
    collateral: Collateral | None = None,
    report_data: bytes = smith.REPORT_DATA,
) -> None:
    given = smith.collateral() if collateral is None else collateral
    raw = smith.oe_report(smith.raw_quote()) if evidence is None else evidence
    question = {
        "evidence": base64.b64encode(raw).decode(),
        "collateral": json.loads(given.to_json()),
        "anchor": base64.b64encode(smith.ANCHOR).decode(),
        "at": smith.AT.isoformat().replace("+00:00", "Z"),
        "reference": _SIGNER if reference is None else reference,
        "reportData": report_data.hex(),
    }
    CASES.append(
        {
            "id": case_id,
            "why": why,
            "spec": spec,
            "command": "appraise",
            "input": question,
            "expected": expected,
        }
    )


def _accept(status: str = "UpToDate") -> dict[str, Any]:
    return {"verdict": "accept", "code": "OK", "status": status, "failing": []}


def _reject(*failing: str, status: str = "UpToDate") -> dict[str, Any]:
    return {"verdict": "reject", "code": "OK", "status": status, "failing": list(failing)}


def _at_status(status: str, *advisories: str) -> Collateral:
    def edit(document: dict[str, Any]) -> None:
        document["tcbLevels"][0] |= {"tcbStatus": status, "advisoryIDs": list(advisories)}

    return smith.collateral(tcb=edit)


def _verification_cases() -> None:
    known = {scenario.name: scenario for scenario in smith.scenarios()}
    for name in _VERIFICATION:
        scenario = known[name]
        expected: dict[str, Any] = {
            "verdict": "accept" if scenario.code == "OK" else "reject",
            "code": scenario.code,
            "status": scenario.status,
        }
        _case(
            f"evidence-{name}",
            f"The evidence itself decides before any package does. {scenario.why}",
            _CODES,
            expected=expected,
            evidence=scenario.quote,
            collateral=scenario.collateral,
        )


def _package_cases() -> None:
    raw = smith.raw_quote()
    upper = {**_SIGNER, "SignerID": smith.IDENTITY.signer_id.hex().upper()}
    debug = smith.raw_quote(dataclasses.replace(smith.IDENTITY, debug=True))
    tail = smith.raw_quote(report_data=smith.REPORT_DATA + b"\1")
    _case("package-by-signer", "Signer, product and version as pinned.", _PACKAGE, expected=_accept())
    _case(
        "package-by-measurement",
        "A measurement alone is enough.",
        _PACKAGE,
        reference=_UNIQUE,
        expected=_accept(),
    )
    _case(
        "package-hex-in-capitals",
        "Identities are compared without regard to case.",
        _PACKAGE,
        reference=upper,
        expected=_accept(),
    )
    _case(
        "package-raw-quote",
        "A raw quote is accepted like a wrapped one.",
        "attestation.md 1.3",
        evidence=raw,
        expected=_accept(),
    )
    _case(
        "package-lower-version",
        "SecurityVersion is a minimum, so a higher one will do.",
        _PACKAGE,
        reference={**_SIGNER, "SecurityVersion": 1},
        expected=_accept(),
    )
    _case(
        "package-version-too-low",
        "Raising the minimum revokes old builds.",
        _PACKAGE,
        reference={**_SIGNER, "SecurityVersion": 4},
        expected=_reject("SecurityVersion"),
    )
    _case(
        "package-other-product",
        "ProductID is equality, not a minimum.",
        _PACKAGE,
        reference={**_SIGNER, "ProductID": 6},
        expected=_reject("ProductID"),
    )
    _case(
        "package-other-measurement",
        "One other byte is another enclave.",
        _PACKAGE,
        reference={"UniqueID": "00" * 32},
        expected=_reject("UniqueID"),
    )
    _case(
        "package-other-signer",
        "Every differing field is named, not only the first.",
        _PACKAGE,
        reference={**_SIGNER, "SignerID": "00" * 32, "ProductID": 6},
        expected=_reject("SignerID", "ProductID"),
    )
    _case(
        "package-debug-enclave",
        "A debug enclave does not satisfy a production package.",
        _PACKAGE,
        evidence=debug,
        expected=_reject("Debug"),
    )
    _case(
        "package-debug-wanted",
        "Debug is equality: production does not satisfy it.",
        _PACKAGE,
        reference={**_SIGNER, "Debug": True},
        expected=_reject("Debug"),
    )
    _case(
        "package-pins-nothing",
        "A package that does not say which enclave it means matches none.",
        "attestation.md 2.4",
        reference={"ProductID": 7},
        expected=_reject("Package"),
    )
    _case(
        "report-data-of-another",
        "The quote must be about this connection's certificate.",
        _PACKAGE,
        report_data=bytes(32),
        expected=_reject("Report data"),
    )
    _case(
        "report-data-tail",
        "The second half of the report data must be zero.",
        "attestation.md 1.3",
        evidence=tail,
        expected=_reject("Report data tail"),
    )


def _tcb_cases() -> None:
    listed = {**_SIGNER, "AcceptedTCBStatuses": ["OutOfDate"]}
    lower = {**_SIGNER, "AcceptedTCBStatuses": ["outofdate"]}
    advisories = {**_SIGNER, "AcceptedAdvisories": ["intel-sa-00615"]}
    hardening, old = "SWHardeningNeeded", "OutOfDate"
    _case(
        "tcb-hardening-by-default",
        "An empty list means SWHardeningNeeded.",
        _TCB,
        collateral=_at_status(hardening),
        expected=_accept(hardening),
    )
    _case(
        "tcb-out-of-date",
        "Not accepted unless listed.",
        _TCB,
        collateral=_at_status(old),
        expected=_reject("TCB status", status=old),
    )
    _case(
        "tcb-out-of-date-listed",
        "Accepted because it is listed.",
        _TCB,
        collateral=_at_status(old),
        reference=listed,
        expected=_accept(old),
    )
    _case(
        "tcb-list-replaces-default",
        "A list replaces the default.",
        _TCB,
        collateral=_at_status(hardening),
        reference=listed,
        expected=_reject("TCB status", status=hardening),
    )
    _case(
        "tcb-up-to-date-unlisted",
        "UpToDate needs no listing at all.",
        _TCB,
        reference=listed,
        expected=_accept(),
    )
    _case(
        "tcb-word-in-other-case",
        "Statuses are compared with regard to case.",
        _TCB,
        collateral=_at_status(old),
        reference=lower,
        expected=_reject("TCB status", status=old),
    )
    _case(
        "advisory-listed",
        "Advisories are compared without regard to case.",
        _TCB,
        collateral=_at_status(hardening, "INTEL-SA-00615"),
        reference=advisories,
        expected=_accept(hardening),
    )
    _case(
        "advisory-unlisted",
        "Every reported advisory must be listed.",
        _TCB,
        collateral=_at_status(hardening, "INTEL-SA-00615", "INTEL-SA-00289"),
        reference=advisories,
        expected=_reject("Advisories", status=hardening),
    )
    _case(
        "advisory-other-status",
        "Only SWHardeningNeeded looks at advisories.",
        _TCB,
        collateral=_at_status("UpToDate", "INTEL-SA-00289"),
        reference=advisories,
        expected=_accept(),
    )


_verification_cases()
_package_cases()
_tcb_cases()
