"""Push to enforced: from the start of ``git push`` until the Coordinator itself says so; a local repository."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench.mesh import commit_next, one_approver_mesh
from bench.report import Row

if TYPE_CHECKING:
    from marbleops.cli.demo.mesh import Mesh

PUSHES = 20
GOAL_SECONDS = 1.0
PATIENCE_SECONDS = 30.0


def _one(mesh: Mesh, number: int) -> tuple[float, float]:
    """Return the seconds until enforced, and those of `git push` alone."""
    client = mesh.attested()
    try:
        _, digest = commit_next(mesh, f"hello {number}")
        begin = time.perf_counter()
        mesh.people["alice"].push()
        pushed = time.perf_counter() - begin
        while client.policy()["digest"] != digest:
            if time.perf_counter() - begin > PATIENCE_SECONDS:
                raise TimeoutError(f"push {number} was not enforced in {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.005)
        return time.perf_counter() - begin, pushed
    finally:
        client.close()


def run() -> list[Row]:
    """Push 20 times and take the median, beside the goal and beside `git push` itself."""
    with one_approver_mesh() as mesh:
        measured = [_one(mesh, number) for number in range(PUSHES)]
    median = statistics.median(total for total, _ in measured)
    pushed = statistics.median(push for _, push in measured)
    worst = max(total for total, _ in measured)
    return [
        Row(
            f"push to enforced, median of {PUSHES}",
            f"{median * 1000:.0f} ms",
            f"{median / GOAL_SECONDS:.2f} of the goal (1 s)",
        ),
        Row("  of which git push itself", f"{pushed * 1000:.0f} ms", f"{pushed / median:.2f} of the whole"),
        Row("  worst", f"{worst * 1000:.0f} ms", f"{worst / median:.1f} x the median"),
    ]
