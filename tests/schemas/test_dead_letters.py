"""`schemas/dead_letters.py`: what the headers of a dead letter say, and the headers of its replay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import headers as names
from schemas.dead_letters import WRITTEN, Origin, read_origin, replay_headers

HEADERS: list[names.Header] = [
    ("dlq-code", b"not_json"),
    ("dlq-message", b"no JSON"),
    ("dlq-topic", b"embedding.requests"),
    ("dlq-partition", b"3"),
    ("dlq-offset", b"42"),
    ("dlq-timestamp", b"1700000000000"),
    ("dlq-worker", b"w1"),
    ("dlq-attempt", b"2"),
]
ORIGIN = Origin("not_json", "no JSON", "embedding.requests", 3, 42, 1_700_000_000_000, "w1", 2, "")


def without(*left_out: str) -> list[names.Header]:
    return [header for header in HEADERS if header[0] not in left_out]


def test_the_headers_of_a_dead_letter_are_read() -> None:
    assert read_origin(HEADERS) == ORIGIN
    assert read_origin([*HEADERS, ("dlq-left-out", b"headers")]).left_out == "headers"  # type: ignore[union-attr]


def test_of_two_dead_letters_in_one_the_last_counts() -> None:
    earlier = [("dlq-offset", b"1"), ("dlq-attempt", b"1"), ("dlq-topic", b"elsewhere")]
    assert read_origin([*earlier, *HEADERS]) == ORIGIN


@pytest.mark.parametrize("name", ["dlq-topic", "dlq-partition", "dlq-offset"])
def test_without_its_place_it_is_no_dead_letter(name: str) -> None:
    assert read_origin(without(name)) is None
    assert read_origin([*without(name), (name, b"")]) is None


def test_one_of_a_worker_that_did_not_count_yet_has_failed_once() -> None:
    read = read_origin(without("dlq-attempt", "dlq-timestamp"))
    assert read is not None
    assert (read.attempt, read.timestamp_ms) == (1, -1)


def test_a_replay_drops_who_waited_and_why_it_died_and_keeps_the_rest_in_order() -> None:
    original: list[names.Header] = [
        ("mine", b"1"),
        ("kafka_replyTopic", b"t"),
        ("deadline", b"1"),
        ("mine", None),
        ("replay-attempt", b"1"),
        ("replay-of", b"3:7"),
        ("traceparent", b"00-a"),
    ]
    assert replay_headers([*original, *HEADERS], ORIGIN) == [
        ("mine", b"1"),
        ("mine", None),
        ("traceparent", b"00-a"),
        ("replay-attempt", b"2"),
        ("replay-of", b"3:42"),
    ]


def test_what_a_worker_writes_is_all_there_is_under_that_name() -> None:
    assert {value for name, value in vars(names).items() if name.startswith("DLQ_")} == WRITTEN


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(WRITTEN)) | st.text(max_size=5), st.none() | st.binary(max_size=9))))
def test_no_bytes_make_reading_raise(given_headers: list[tuple[str, bytes | None]]) -> None:
    origin = read_origin(given_headers)
    assert origin is None or (origin.partition >= 0 and origin.offset >= 0 and origin.attempt >= 1)
