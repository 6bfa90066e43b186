"""The conformance cases of verify-evidence, asked directly: every row of gitops.md 2.3 among them."""

from __future__ import annotations

from conformance.answer_verify_evidence import answer
from conformance.cases_verify_evidence import CASES
from marbleops.approval.reasons import Reason

BY_ID = {case["id"]: case for case in CASES}


def test_every_case_gets_its_answer() -> None:
    """All in one test, because there are many and each takes less than a millisecond."""
    wrong = {}
    for name, case in BY_ID.items():
        got = answer(case["input"])
        if {member: got.get(member) for member in case["expected"]} != case["expected"]:
            wrong[name] = got

    assert len(BY_ID) == len(CASES) >= 30
    assert wrong == {}


def test_every_reason_that_one_piece_can_give_has_a_case() -> None:
    given = {Reason(case["expected"]["reason"]) for case in CASES if "reason" in case["expected"]}

    assert given == {
        Reason.MALFORMED_OBJECT,
        Reason.MALFORMED_SIGNATURE,
        Reason.UNSUPPORTED_KEY_TYPE,
        Reason.UNKNOWN_KEY,
        Reason.BAD_SIGNATURE,
        Reason.WRONG_NAMESPACE,
        Reason.UNSUPPORTED_STATEMENT,
        Reason.USER_PRESENCE_MISSING,
        Reason.PATH_NOT_IN_TREE,
        Reason.WRONG_MODE,
        Reason.CONTENT_MISMATCH,
        Reason.TRAILER_MISSING,
        Reason.TRAILER_AMBIGUOUS,
        Reason.TRAILER_WRONG_SIGNER,
        Reason.TRAILER_WRONG_DIGEST,
        Reason.MANIFEST_INVALID,
        Reason.TOO_LARGE,
    }


def test_a_malleable_signature_does_not_change_the_identity() -> None:
    """Negating s makes another commit id but the same payload digest, which is what logs and caches use."""
    negated, plain = BY_ID["ecdsa-negated-s"]["input"], BY_ID["key-ecdsa-256"]["input"]

    assert negated["object"] != plain["object"]
    assert answer(negated) == answer(plain)
