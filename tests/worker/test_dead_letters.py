"""`worker/dead_letters.py`: original headers first, then where the message came from and why it is here."""

from __future__ import annotations

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from worker.dead_letters import dead_letter_headers

from .fakes import a_message


def test_origin_and_reason_stand_behind_the_original_headers() -> None:
    message = a_message(headers=[("mine", b"\xff"), ("empty", None)], partition=3, offset=42)
    headers = dead_letter_headers(message, UnanswerableError(ErrorCode.NO_ID, "no id"), "w1", attempt=1)
    assert headers == [
        ("mine", b"\xff"),
        ("empty", None),
        ("dlq-code", b"no_id"),
        ("dlq-message", b"no id"),
        ("dlq-topic", b"embedding.requests"),
        ("dlq-partition", b"3"),
        ("dlq-offset", b"42"),
        ("dlq-timestamp", b"1700000000000"),
        ("dlq-worker", b"w1"),
        ("dlq-attempt", b"1"),
    ]


def test_what_was_left_out_is_said_and_nothing_is_said_where_nothing_was() -> None:
    error = UnanswerableError(ErrorCode.NO_ID, "no id")

    whole = dict(dead_letter_headers(a_message(), error, "w1", attempt=2))
    cut = dict(dead_letter_headers(a_message(), error, "w1", attempt=2, left_out="headers"))

    assert names.DLQ_LEFT_OUT not in whole
    assert cut == whole | {names.DLQ_LEFT_OUT: b"headers"}


def test_a_reason_that_no_utf8_can_hold_is_written_all_the_same() -> None:
    error = RequestError(ErrorCode.MODEL_NOT_FOUND, "no model '\ud800' here")
    headers = dict(dead_letter_headers(a_message(), error, "w1", attempt=1))
    assert headers[names.DLQ_MESSAGE] == b"no model '?' here"


def test_headers_of_an_earlier_dead_letter_stay_and_the_new_ones_come_last() -> None:
    first = dead_letter_headers(a_message(offset=1), UnanswerableError(ErrorCode.NO_ID, "no id"), "w1", attempt=1)
    again = dead_letter_headers(
        a_message(headers=first, offset=2), UnanswerableError(ErrorCode.NOT_JSON, "not JSON"), "w2", attempt=2
    )
    assert again[: len(first)] == first
    assert (dict(again)[names.DLQ_OFFSET], dict(again)[names.DLQ_ATTEMPT]) == (b"2", b"2")
    assert dict(again)[names.DLQ_CODE] == b"not_json"
