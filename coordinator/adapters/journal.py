"""Logging: one JSON object per line on standard error, ours and our libraries' alike."""

from __future__ import annotations

import logging
import sys

import structlog

_SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logging(*, debug: bool, readable: bool = False) -> None:
    """Send every log line to standard error, as JSON unless *readable* asks for lines made for eyes.

    Libraries are heard from warnings up; what strangers make aiohttp say is a line, not a page
    (:class:`_WithoutQuotes`).
    """
    render: structlog.typing.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if readable:
        render = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*_SHARED, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithoutQuotes("aiohttp"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _WithoutQuotes(logging.Filter):
    """Keeps the kind of a library's error and drops its text, which quotes bytes of the request.

    They may be a secret that somebody sent badly, and there may be many of them. Our own failures are told by
    ourselves (``routes.Router``).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten what comes from the library; everything passes."""
        if super().filter(record) and record.exc_info:
            kind = record.exc_info[0]
            record.msg = f"{record.getMessage()}: {kind.__name__ if kind else 'unknown'}"
            record.args, record.exc_info, record.exc_text = (), None, None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True
