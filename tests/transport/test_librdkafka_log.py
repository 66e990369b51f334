"""librdkafka's trouble becomes a clear line at once, and not a flood."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from transport.librdkafka_log import ErrorLog, LibrdkafkaHandler, librdkafka_logger

if TYPE_CHECKING:
    import pytest

_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
_TRANSPORT = KafkaError(KafkaError._TRANSPORT, "Connection refused")


def test_the_first_trouble_of_a_kind_is_told_at_once_with_who_and_where() -> None:
    with capture_logs() as lines:
        ErrorLog("replies", "127.0.0.1:9092")(_DOWN)

    assert lines == [
        {
            "event": "kafka trouble, retrying by itself",
            "log_level": "warning",
            "client": "replies",
            "bootstrap": "127.0.0.1:9092",
            "error": "_ALL_BROKERS_DOWN",
            "detail": "1/1 brokers are down",
        }
    ]


def test_the_same_trouble_is_told_again_only_after_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 29.9, 30.0, 31.0])
    error_log = ErrorLog("replies", "127.0.0.1:9092")
    with capture_logs() as lines:
        for now in clock:
            monkeypatch.setattr("transport.librdkafka_log.time.monotonic", lambda now=now: now)
            error_log(_DOWN)

    assert len(lines) == 2


def test_another_trouble_is_told_although_one_was_just_told() -> None:
    error_log = ErrorLog("replies", "127.0.0.1:9092")
    with capture_logs() as lines:
        error_log(_DOWN)
        error_log(_TRANSPORT)

    assert [line["error"] for line in lines] == ["_ALL_BROKERS_DOWN", "_TRANSPORT"]


def test_lines_of_librdkafka_are_ours_at_debug_level() -> None:
    with capture_logs() as lines:
        librdkafka_logger().log(logging.ERROR, "%s of %s", "FAIL", "a broker")

    assert lines == [{"event": "librdkafka", "log_level": "debug", "line": "FAIL of a broker"}]


def test_every_client_shares_one_logger_that_tells_nobody_else() -> None:
    first, second = librdkafka_logger(), librdkafka_logger()

    assert first is second
    assert [isinstance(handler, LibrdkafkaHandler) for handler in first.handlers].count(True) == 1
    assert not first.propagate
