"""Answers an `appraise` question with this implementation; see ``cases_appraise``."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.appraisal import ReferenceValues, appraise
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_quote

if TYPE_CHECKING:
    from collections.abc import Mapping


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``verdict``, ``code``, ``status``, the names of the ``failing`` checks, and the ``reason`` in words."""
    verdict = verify_quote(
        base64.b64decode(question["evidence"]),
        Collateral.from_json(json.dumps(question["collateral"])),
        anchors=Anchors.simulation(base64.b64decode(question["anchor"])),
        at=datetime.fromisoformat(question["at"]),
        allow_debug=True,
    )
    package = question["reference"]
    reference = ReferenceValues(
        debug=package.get("Debug", False),
        unique_id=package.get("UniqueID"),
        signer_id=package.get("SignerID"),
        product_id=package.get("ProductID"),
        security_version=package.get("SecurityVersion"),
        accepted_tcb_statuses=tuple(package.get("AcceptedTCBStatuses", ())),
        accepted_advisories=tuple(package.get("AcceptedAdvisories", ())),
    )
    appraisal = appraise(verdict, reference, report_data=bytes.fromhex(question["reportData"]))
    return {
        "verdict": "accept" if appraisal.accepted else "reject",
        "code": verdict.code.value,
        "status": None if verdict.status is None else verdict.status.value,
        "failing": [check.name for check in appraisal.checks if not check.ok],
        "reason": appraisal.reason,
    }
