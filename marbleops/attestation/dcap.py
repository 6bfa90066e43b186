"""The verifier of ECDSA quotes, SGX and TDX: evidence, collateral, anchors and a time in; one verdict out.

It does the steps of attestation.md 2.1 in that order and stops at the first that fails: ``quote`` (1 to 3),
``endorsements`` (4 to 9), ``quoting`` (10 to 13), ``levels`` and ``tdx`` (14 to 18), and here 19 and what of
20 is not appraisal: Revoked, debug, and the floor of evaluation numbers. Accepted statuses, advisories and
the steps 21 and 22 are ``appraisal``. Pure: no network, no clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from marbleops.attestation import quote, tdx
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.checks import Ledger, NoMemo, RejectedError
from marbleops.attestation.endorsements import Endorsed, check_endorsements
from marbleops.attestation.levels import check_levels
from marbleops.attestation.policy import DEFAULT, VerificationPolicy
from marbleops.attestation.quoting import check_quote
from marbleops.attestation.verdict import Code, Report, TdReport, Verdict
from marbleops.attestation.verification import Run

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.checks import Memo
    from marbleops.attestation.collateral import Collateral

__all__ = ["Anchors", "verify_quote", "verify_with_memo"]


def verify_quote(
    evidence: bytes,
    collateral: Collateral,
    *,
    anchors: Anchors,
    at: datetime,
    allow_debug: bool = False,
    policy: VerificationPolicy = DEFAULT,
) -> Verdict:
    """Verify ``evidence`` as of the time ``at`` and say everything that was checked.

    Whatever the bytes are, the answer is a verdict. Raises ``ValueError`` only for a time without a zone.
    With ``allow_debug``, or a policy that says so, a debug enclave verifies; whether it is wanted is the
    appraisal's question.
    """
    return verify_with_memo(
        evidence, collateral, anchors=anchors, at=at, allow_debug=allow_debug, memo=NoMemo(), policy=policy
    )


def verify_with_memo(
    evidence: bytes,
    collateral: Collateral,
    *,
    anchors: Anchors,
    at: datetime,
    memo: Memo,
    allow_debug: bool = False,
    policy: VerificationPolicy = DEFAULT,
) -> Verdict:
    """Do what ``verify_quote`` does, asking ``memo`` for the parts that depend on content alone."""
    if at.tzinfo is None:
        raise ValueError("the time of a verification needs a time zone")
    if allow_debug and not policy.allow_debug:
        policy = replace(policy, allow_debug=True)
    run = Run(collateral, anchors, at, policy, memo, Ledger())
    code, detail = Code.OK, "the quote verifies"
    try:
        _verify(run, evidence)
    except RejectedError as error:
        code, detail = error.code, error.detail
        run.ledger.close(error)
    return Verdict(
        code=code,
        status=run.status,
        advisories=run.advisories,
        report=None if run.quote is None else run.quote.report,
        checks=tuple(run.ledger.checks),
        trust_domain=anchors.trust_domain,
        detail=detail,
        platform=run.platform,
        custom_claims=None if run.quote is None else run.quote.custom_claims,
        within_grace=run.within_grace,
    )


def _verify(run: Run, evidence: bytes) -> None:
    # 1 size and version limits; 2 unwrap; 3 strict parse
    run.quote = parsed = _parse(run, evidence)
    # 4 to 9
    endorsed = check_endorsements(run, parsed)
    # 10 to 13
    check_quote(run, parsed, endorsed)
    # 14 to 18; 20 (part) Revoked is never accepted
    check_levels(run, parsed, endorsed)
    # 19 attributes; 20 (part) debug, and what a trust domain may be
    if isinstance(parsed.report, TdReport):
        tdx.check_attributes(run.ledger, parsed.report, run.policy)
    else:
        _attributes(run, parsed.report)
    # 20 (part) floors
    _evaluation_numbers(run, endorsed)


def _parse(run: Run, evidence: bytes) -> quote.Quote:
    expected = "a quote of SGX (v3) or TDX (v4, v5), raw or in an Open Enclave header"
    try:
        parsed = quote.parse_evidence(evidence)
    except RejectedError as error:
        run.ledger.fail("Evidence", error, expected=expected)
        raise
    found = f"{parsed.report.tee.upper()} quote v{parsed.version} in {len(evidence)} bytes"
    run.ledger.require("Evidence", Code.QUOTE_VERSION, ok=True, expected=expected, found=found)
    return parsed


def _attributes(run: Run, report: Report) -> None:
    ready = bool(quote.flags(report.attributes) & quote.ATTRIBUTE_INIT)
    found = f"attributes {report.attributes.hex()}"
    run.ledger.require("Initialised", Code.SGX_NOT_INIT, ok=ready, expected="INIT", found=found)
    run.ledger.debug(found=report.debug, allowed=run.policy.allow_debug)


def _evaluation_numbers(run: Run, endorsed: Endorsed) -> None:
    minimum = run.policy.min_tcb_evaluation_data_number
    if minimum is None:
        return
    for name, number in (
        ("TCB info", endorsed.tcb_info.evaluation_number),
        ("QE identity", endorsed.qe_identity.evaluation_number),
    ):
        run.ledger.require(
            f"{name} evaluation number",
            Code.COLLATERAL_ROLLBACK,
            ok=number >= minimum,
            expected=f"at least {minimum}",
            found=str(number),
        )
