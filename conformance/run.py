"""Runs the committed cases against this implementation; prints each wrong answer and a closing count."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.ours import ANSWER

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent


def differences(expected: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """List the members of *expected* that *answer* does not have with that value."""
    wrong = []
    for name, value in expected.items():
        got = answer.get(name)
        same = (
            sorted(map(str, got)) == sorted(map(str, value))
            if isinstance(value, list) and isinstance(got, list)
            else got == value
        )
        if not same:
            wrong.append(f"{name}: expected {value!r}, got {got!r}")
    return wrong


def main(argv: list[str]) -> int:
    """Run all cases or those of the commands named; exit code 1 if one is wrong, 2 if there are none."""
    files = sorted((HERE / "cases").glob("*/*.json"))
    chosen = [path for path in files if not argv or path.parent.name in argv]
    if not chosen:
        print("conformance: no cases found", file=sys.stderr)
        return 2
    failed = 0
    for path in chosen:
        case = json.loads(path.read_text())
        wrong = differences(case["expected"], ANSWER[case["command"]](case["input"]))
        if wrong:
            failed += 1
            print(f"FAIL {case['command']}/{case['id']}: {'; '.join(wrong)}\n     {case['why']}")
    print(f"conformance: {len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
