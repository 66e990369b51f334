"""How the processes log: one line an event on standard error, readable on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_log(level: str, log_format: str) -> None:
    """Set up structlog for this process.

    Args:
        level: debug, info, warning or error.
        log_format: console, json, or auto: by whether standard error is a terminal.
    """
    readable = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if readable else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # a cached logger would outlive the stream it writes to
    )


def log_cause(error: BaseException) -> None:
    """Show where an error came from, at debug level; nothing before `configure_log`."""
    if structlog.is_configured():
        structlog.get_logger("cli").debug("failed", exc_info=error)
