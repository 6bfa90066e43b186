"""Builds the cases from code: same code, same bytes.

``python -m conformance.build`` rewrites ``cases/``; with ``--check`` it fails if anything there differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema

HERE = Path(__file__).parent
CASES = HERE / "cases"
SHOWN = 10

Case = dict[str, Any]


def all_cases() -> list[Case]:
    """Collect the cases of every command, in a stable order.

    Raises:
        ValueError: an id is used twice.
    """
    from conformance import cases_appraise, cases_decide, cases_parse_manifest, cases_verify_evidence  # noqa: PLC0415

    modules = (cases_parse_manifest, cases_verify_evidence, cases_decide, cases_appraise)
    cases: list[Case] = [case for module in modules for case in module.CASES]
    names = [(case["command"], case["id"]) for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"case ids used twice: {sorted(twice)}")
    return cases


def render(cases: list[Case]) -> dict[Path, str]:
    """Render each case to its file's text, validated by ``case.schema.json``."""
    validator = jsonschema.Draft202012Validator(json.loads((HERE / "case.schema.json").read_text()))
    files: dict[Path, str] = {}
    for case in cases:
        validator.validate(case)
        text = json.dumps(case, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
        files[CASES / case["command"] / f"{case['id']}.json"] = text
    return files


def main(argv: list[str]) -> int:
    """Write or compare; returns the exit code."""
    wanted = render(all_cases())
    present = {path: path.read_text() for path in CASES.glob("*/*.json")}
    if "--check" in argv:
        wrong = sorted({p for p in wanted.keys() | present.keys() if wanted.get(p) != present.get(p)})
        for path in wrong[:SHOWN]:
            print(f"differs from what the code builds: {path.relative_to(HERE)}", file=sys.stderr)
        print(f"conformance: {len(wanted)} cases, {len(wrong)} differ")
        return 1 if wrong else 0
    for path in present.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f"conformance: wrote {len(wanted)} cases")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
