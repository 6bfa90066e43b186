"""One entry for the evidence of every TEE. What it is, is seen from its bytes, never from what came with it.

The endorsements have to be of the same kind: collateral of Intel's for quotes, certificates of AMD's for
SEV-SNP reports. Whichever it is, the answer is one ``Verdict``. Pure, like the verifiers behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from marbleops.attestation.checks import Ledger, NoMemo, RejectedError
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_with_memo
from marbleops.attestation.policy import DEFAULT, VerificationPolicy
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.policy import DEFAULT as SNP_DEFAULT
from marbleops.attestation.snp.policy import SnpPolicy
from marbleops.attestation.snp.verify import recognises, verify_snp
from marbleops.attestation.verdict import Code, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.anchors import Anchors
    from marbleops.attestation.checks import Memo

__all__ = ["Endorsements", "SnpPolicy", "VerificationPolicy", "verify_evidence"]

Endorsements = Collateral | SnpEndorsements
_FORGETFUL = NoMemo()


def verify_evidence(
    evidence: bytes,
    endorsements: Endorsements,
    *,
    anchors: Anchors,
    at: datetime,
    policy: VerificationPolicy = DEFAULT,
    snp_policy: SnpPolicy = SNP_DEFAULT,
    memo: Memo = _FORGETFUL,
) -> Verdict:
    """Verify ``evidence`` of any TEE as of the time ``at``; ``policy.allow_debug`` holds for all of them.

    Whatever the bytes are, the answer is a verdict. Raises ``ValueError`` only for a time without a zone.
    """
    snp = recognises(evidence)
    if snp and isinstance(endorsements, SnpEndorsements):
        if policy.allow_debug and not snp_policy.allow_debug:
            snp_policy = replace(snp_policy, allow_debug=True)
        return verify_snp(evidence, endorsements, anchors=anchors, at=at, policy=snp_policy, memo=memo)
    if not snp and isinstance(endorsements, Collateral):
        return verify_with_memo(evidence, endorsements, anchors=anchors, at=at, policy=policy, memo=memo)
    return _mismatched(anchors, snp=snp)


def _mismatched(anchors: Anchors, *, snp: bool) -> Verdict:
    expected = "AMD's certificates, for an SEV-SNP report" if snp else "Intel's collateral, for a quote"
    ledger = Ledger()
    failure = RejectedError(Code.UNSUPPORTED_TEE, f"the endorsements are {'Intel' if snp else 'AMD'}'s")
    try:
        ledger.fail("Endorsements", failure, expected=expected)
    except RejectedError as error:
        failure = error
    return Verdict(
        code=failure.code,
        status=None,
        advisories=(),
        report=None,
        checks=tuple(ledger.checks),
        trust_domain=anchors.trust_domain,
        detail=failure.detail,
    )
