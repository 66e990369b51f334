"""Gives librdkafka's own log lines to ours, the same trouble at most once in a while."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_REPEAT_AFTER_SECONDS: Final = 30.0

log = structlog.get_logger("transport")


class LibrdkafkaHandler(logging.Handler):
    """Handler for the `logger=` argument of confluent_kafka's clients."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("librdkafka", line=record.getMessage())


def librdkafka_logger() -> logging.Logger:
    """The logger librdkafka writes to; its lines are ours at debug level, errors come by callback."""
    logger = logging.getLogger("transport.librdkafka")
    if not logger.handlers:
        logger.addHandler(LibrdkafkaHandler())
        logger.propagate = False
        logger.setLevel(logging.INFO)
    return logger


class ErrorLog:
    """`error_cb` of a client: a clear line at once, then at most one every 30 s for the same trouble."""

    def __init__(self, client: str, bootstrap: str) -> None:
        self._client = client
        self._bootstrap = bootstrap
        self._last: dict[str, float] = {}

    def __call__(self, error: KafkaError) -> None:
        name = error.name()
        now = time.monotonic()
        if now - self._last.get(name, -_REPEAT_AFTER_SECONDS) < _REPEAT_AFTER_SECONDS:
            return
        self._last[name] = now
        log.warning(
            "kafka trouble, retrying by itself",
            client=self._client,
            bootstrap=self._bootstrap,
            error=name,
            detail=error.str(),
        )
