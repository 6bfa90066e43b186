"""Builds the cases from code: same code, same bytes.

``python -m conformance.wire.build`` rewrites ``cases/``; with ``--check`` it fails if anything there differs.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from conformance.wire.people_file import people_document
from conformance.wire.writing import STATES

if TYPE_CHECKING:
    from conformance.wire.writing import Case

HERE = Path(__file__).parent
CASES = HERE / "cases"


def groups() -> dict[str, list[Case]]:
    """Collect the cases of every ``cases_*`` module.

    Raises:
        ValueError: an id is used twice.
    """
    names = sorted(path.stem for path in HERE.glob("cases_*.py"))
    made = {
        name.removeprefix("cases_"): importlib.import_module(f"conformance.wire.{name}").CASES
        for name in names
    }
    ids = [case["id"] for cases in made.values() for case in cases]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"case ids used twice: {twice}")
    return made


def render() -> dict[Path, str]:
    """Render every file of ``cases/``, each case validated by ``case.schema.json``."""
    validator = jsonschema.Draft202012Validator(json.loads((HERE / "case.schema.json").read_text()))
    documents: dict[str, Any] = {"_states": {"states": STATES}, "_people": {"people": people_document()}}
    for name, cases in groups().items():
        for case in cases:
            validator.validate(case)
        documents[name] = {"group": name, "cases": cases}
    return {CASES / f"{name}.json": json.dumps(made, indent=1) + "\n" for name, made in documents.items()}


def main(argv: list[str]) -> int:
    """Write or compare; returns the exit code."""
    wanted = render()
    present = {path: path.read_text() for path in CASES.glob("*.json")}
    count = sum(len(cases) for cases in groups().values())
    if "--check" in argv:
        wrong = sorted({p for p in wanted.keys() | present.keys() if wanted.get(p) != present.get(p)})
        for path in wrong:
            print(f"differs from what the code builds: {path.relative_to(HERE)}", file=sys.stderr)
        print(f"conformance.wire: {count} cases, {len(wrong)} files differ")
        return 1 if wrong else 0
    CASES.mkdir(exist_ok=True)
    for path in present.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    print(f"conformance.wire: wrote {count} cases")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
