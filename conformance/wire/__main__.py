"""Runs the committed cases against a Coordinator; prints each wrong answer and a closing count.

Without ``--address`` our own Coordinator is started, as often as the cases need it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.wire.client import Target
from conformance.wire.pattern import Scope
from conformance.wire.starter import Given, Host, Nursery, Ours, Unable
from conformance.wire.steps import Session
from conformance.wire.users import People

if TYPE_CHECKING:
    from collections.abc import Iterable

CASES = Path(__file__).parent / "cases"
WORKERS = 3
"""Side by side, since a case mostly waits."""
BATCH = 100
"""Cases that share a Coordinator."""

Case = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What came of one case: nothing wrong, a list of mismatches, or a reason to skip it."""

    case: Case
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""


def load_cases() -> tuple[dict[str, Any], list[Case]]:
    """Read the states that cases start from, and all cases."""
    groups = [json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))]
    states = next(group["states"] for group in groups if "states" in group)
    return states, [case for group in groups if "cases" in group for case in group["cases"]]


def run_case(session: Session, case: Case) -> Outcome:
    """Run one case on a Coordinator that is in the state it needs."""
    try:
        return Outcome(case, wrong=session.run(case["steps"], Scope(People())))
    except Unable as reason:
        return Outcome(case, skipped=str(reason))
    except Exception as error:  # noqa: BLE001  one broken case must not end the run
        return Outcome(case, wrong=[f"{type(error).__name__}: {error}"])


def run_batch(host: Host, against: str, states: dict[str, Any], cases: list[Case]) -> Iterable[Outcome]:
    """Run cases of one need, on a fresh Coordinator at first, and after every case that used one up or failed."""
    session: Session | None = None
    for number, case in enumerate(cases):
        try:
            session = session or _prepare(host, against, case, states[case["needs"]])
        except Unable as reason:
            yield Outcome(case, skipped=str(reason))
            continue
        except CannotPrepareError as error:
            yield Outcome(case, wrong=[str(error)])
            continue
        session.call_from(number)
        outcome = run_case(session, case)
        yield outcome
        if outcome.wrong or case.get("spends"):
            host.touched()
            session.close()
            session = None
    if session is not None:
        session.close()


class CannotPrepareError(Exception):
    """The state that a case needs cannot be reached."""


def _prepare(host: Host, against: str, case: Case, steps: list[dict[str, Any]]) -> Session:
    """Bring a fresh Coordinator into the state that *case* needs."""
    session = Session(host, against, host.fresh(case.get("environ", {})))
    if steps:
        host.touched()
    wrong = session.run(steps, Scope(People()))
    if wrong:
        session.close()
        raise CannotPrepareError(f"cannot reach the state {case['needs']!r}: {'; '.join(wrong)}")
    return session


def batches(cases: list[Case], size: int) -> list[list[Case]]:
    """Split into lists that can share a Coordinator; first those that leave it empty, last those that use it up."""
    shared: dict[str, list[Case]] = {}
    for case in cases:
        key = json.dumps([bool(case.get("spends")), case.get("environ", {}), case["needs"] != "empty"])
        shared.setdefault(key, []).append(case)
    return [shared[key][n : n + size] for key in sorted(shared) for n in range(0, len(shared[key]), size)]


def run_all(against: str, cases: list[Case], states: dict[str, Any]) -> list[Outcome]:
    """Run *cases* against our Coordinator, several processes side by side."""
    nursery = Nursery()

    def work(batch: list[Case]) -> list[Outcome]:
        with tempfile.TemporaryDirectory() as folder:
            host = Ours(Path(folder), nursery)
            try:
                return list(run_batch(host, against, states, batch))
            finally:
                host.close()

    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            return [outcome for done in pool.map(work, batches(cases, BATCH)) for outcome in done]
    finally:
        nursery.close()


def main(argv: list[str]) -> int:
    """Run; exit code 1 if an answer was wrong, 2 if there was nothing to run."""
    arguments = _arguments(argv)
    states, cases = load_cases()
    chosen = [
        case for case in cases if not arguments.cases or any(part in case["id"] for part in arguments.cases)
    ]
    chosen = [case for case in chosen if case.get("only", arguments.against) == arguments.against]
    if not chosen:
        print("conformance.wire: no such cases", file=sys.stderr)
        return 2
    if arguments.address is None:
        outcomes = run_all(arguments.against, chosen, states)
    else:
        (host, port), mesh = arguments.address.rsplit(":", 1), arguments.mesh.rsplit(":", 1)[1]
        given = Given(Target(host, int(port), int(mesh)), arguments.reset_command)
        lists = batches(chosen, len(chosen))
        outcomes = [outcome for one in lists for outcome in run_batch(given, arguments.against, states, one)]
    return report(outcomes)


def report(outcomes: list[Outcome]) -> int:
    """Print what went wrong; return the exit code."""
    failed = [outcome for outcome in outcomes if outcome.wrong]
    skipped = [outcome for outcome in outcomes if outcome.skipped]
    for outcome in failed:
        print(f"FAIL {outcome.case['id']} ({outcome.case['spec']})\n     {outcome.case['why']}")
        print("".join(f"     {line}\n" for line in outcome.wrong), end="")
    for reason in sorted({outcome.skipped for outcome in skipped}):
        print(f"skipped {sum(one.skipped == reason for one in skipped)}: {reason}")
    passed = len(outcomes) - len(failed) - len(skipped)
    print(f"conformance.wire: {passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance.wire", description=__doc__)
    parser.add_argument("cases", nargs="*", help="run the cases whose id holds one of these words")
    parser.add_argument(
        "--address", help="HOST:PORT of the REST API of a Coordinator that was started elsewhere"
    )
    parser.add_argument("--mesh", help="HOST:PORT of its marble port")
    parser.add_argument("--against", choices=("marbleops", "marblerun"), default="marbleops")
    parser.add_argument(
        "--reset-command", help="a command that replaces it by a fresh one and returns when it serves"
    )
    arguments = parser.parse_args(argv)
    if (arguments.address is None) != (arguments.mesh is None):
        parser.error("--address and --mesh go together")
    return arguments


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
