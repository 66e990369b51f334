"""`cli/dlq/filters.py`: which dead letters are meant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.dlq.errors import FilterError
from cli.dlq.filters import Filters, build_filters, read_time
from cli.dlq.letters import DeadLetter, read_place
from schemas.errors import ErrorCode, UnanswerableError
from tests.worker.fakes import a_message
from worker.dead_letters import dead_letter_headers

NOW_MS = 1_800_000_000_000


def a_letter(*, value: bytes | None = b'{"id": "r1"}', key: bytes | None = b"k") -> DeadLetter:
    """Of `embedding.requests` 3:42, dead since 1,700,000,000,000 ms, at 1:7."""
    origin = a_message(value, key=key, partition=3, offset=42)
    headers = dead_letter_headers(origin, UnanswerableError(ErrorCode.NOT_JSON, "no"), "w1", attempt=1)
    return DeadLetter(
        a_message(value, key=key, headers=headers, partition=1, offset=7, topic="embedding.requests.dlq")
    )


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        (Filters(), True),
        (Filters(codes=frozenset({"not_json", "no_id"})), True),
        (Filters(codes=frozenset({"no_id"})), False),
        (Filters(topics=frozenset({"embedding.requests"})), True),
        (Filters(topics=frozenset({"embedding.requests.interactive"})), False),
        (Filters(partition=3, offset=42), True),
        (Filters(partition=1), False),
        (Filters(offset=7), False),
        (Filters(key=b"k"), True),
        (Filters(key=b""), False),
        (Filters(request_id="r1"), True),
        (Filters(request_id="k"), False),
        (Filters(since_ms=1_700_000_000_000), True),
        (Filters(since_ms=1_700_000_000_001), False),
        (Filters(until_ms=1_700_000_000_001), True),
        (Filters(until_ms=1_700_000_000_000), False),
        (Filters(places=frozenset({(1, 7)})), True),
        (Filters(places=frozenset({(3, 42)})), False),
    ],
)
def test_a_dead_letter_is_meant_when_it_is_all_that_is_said(filters: Filters, meant: bool) -> None:
    assert filters.match(a_letter()) is meant
    assert filters.is_empty is (filters == Filters())


def test_one_without_origin_has_none_of_any_topic() -> None:
    stray = DeadLetter(a_message(b"stray"))

    assert Filters(codes=frozenset({"unknown"})).match(stray)
    for filters in (Filters(topics=frozenset({""})), Filters(partition=0), Filters(offset=0)):
        assert not filters.match(stray)


@pytest.mark.parametrize(
    ("value", "key", "request_id"),
    [
        (b'{"id": "r1"}', b"k", "r1"),
        (b'{"id": 7, "model": "m", "input": "x"}', b"k", "7"),
        (b"{}", b"k", "k"),
        (None, b"k", "k"),
        (b"not json", b"k", None),
        (b"{}", None, None),
    ],
)
def test_the_id_is_the_one_that_an_answer_would_have(
    value: bytes | None, key: bytes | None, request_id: str | None
) -> None:
    assert a_letter(value=value, key=key).request_id == request_id


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("30m", NOW_MS - 1_800_000),
        ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 604_800_000),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC).timestamp() * 1000),
        ("2026-01-31T03:00", datetime(2026, 1, 31, 3, tzinfo=UTC).timestamp() * 1000),
        ("2026-01-31T03:00+02:00", datetime(2026, 1, 31, 1, tzinfo=UTC).timestamp() * 1000),
        ("2026-01-31T03:00Z", datetime(2026, 1, 31, 3, tzinfo=UTC).timestamp() * 1000),
    ],
)
def test_a_time_is_how_long_ago_or_iso_8601_in_utc(text: str, epoch_ms: float) -> None:
    assert read_time(text, NOW_MS) == epoch_ms


@pytest.mark.parametrize("text", ["", "7", "7 d", "7w", "-1h", "03:00", "yesterday"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="say how long ago"):
        read_time(text, NOW_MS)


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "a:1", "1:-1", "1:2:3", "1.0:2"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="PARTITION:OFFSET"):
        read_place(text)


def test_a_slug_stands_for_the_topics_of_both_lanes() -> None:
    of_model = build_filters(prefix="p", now_ms=NOW_MS, slug="bge-m3", topics=["p.requests"])
    default = build_filters(prefix="p", now_ms=NOW_MS, slug="")

    assert of_model.topics == {"p.bge-m3.requests", "p.bge-m3.requests.interactive", "p.requests"}
    assert default.topics == {"p.requests", "p.requests.interactive"}
