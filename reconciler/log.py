"""One line for each run: the event is the step where it ended, values are keys.

Rules: architecture.md section 2.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import structlog

from reconciler.system import System, timestamp

if TYPE_CHECKING:
    from reconciler.status import Report


def make_logger(system: System) -> structlog.stdlib.BoundLogger:
    """Make the logger: JSON lines on standard error, with the time of *system*."""

    def stamp(_logger: Any, _method: str, event: Any) -> Any:
        event["time"] = timestamp(system.now())
        return event

    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[stamp, structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=False,
    )
    return logger


def line_of(report: Report, steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Make the values of a run's line: outcome, reason, and what each finished step found."""
    line: dict[str, Any] = {
        "target": report.target,
        "outcome": report.outcome.value,
        "reason": report.reason,
        "detail": report.message,
        "commit": report.commit,
    }
    if report.enforced:
        line["version"] = report.enforced["version"]
    if report.warnings:
        line["warnings"] = list(report.warnings)
    return line | ({"steps": steps} if steps else {})
