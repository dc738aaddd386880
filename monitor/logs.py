"""Logs: JSON lines in service, readable on a terminal; both on standard error."""

import logging
import sys

import structlog


def configure(*, service: bool, least: int = logging.INFO) -> None:
    """Set structlog up for this process: JSON lines in ``service``, else readable; nothing below level ``least``."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if service
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if service else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
