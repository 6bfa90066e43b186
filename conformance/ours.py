"""This implementation behind the four questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import answer_appraise, answer_decide, answer_parse_manifest, answer_verify_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "parse-manifest": answer_parse_manifest.answer,
    "verify-evidence": answer_verify_evidence.answer,
    "decide": answer_decide.answer,
    "appraise": answer_appraise.answer,
}
