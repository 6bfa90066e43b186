"""``python -m bench [commits] [quotes] [snp] [explain] [latency] [activations] [rest] [storm]``: print ratios."""

from __future__ import annotations

import importlib
import platform
import sys

ALL = ("commits", "quotes", "snp", "explain", "latency", "activations", "rest", "storm")


def main(argv: list[str]) -> int:
    """Run the chosen benchmarks, or all of them."""
    print(
        f"# Python {platform.python_version()}, {platform.machine()}; both ends on one machine: read ratios"
    )
    for name in argv or ALL:
        for row in importlib.import_module(f"bench.{name}").run():
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
