"""`worker/watch/books.py`: what one lane has read, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.topics import Lane
from worker.watch.books import AllBooks, LaneBooks
from worker.watch.samples import Told

from ..fakes import an_item, answer

if TYPE_CHECKING:
    from worker.watch.samples import Source


def numbers(source: Source, now: float = 0.0) -> dict[tuple[str, ...], float]:
    """What it tells that is not zero."""
    return {
        (sample.name, *sample.labels): sample.value
        for sample in source.samples(now)
        if not isinstance(sample.value, Told) and sample.value
    }


def test_the_oldest_is_the_one_read_first_of_those_unanswered() -> None:
    books, first, second = LaneBooks(Lane.BULK), an_item(), an_item()
    assert books.oldest() is None
    books.read([first], 10.0)
    books.read([second], 11.0)
    assert numbers(books, 12.5)["oldest_unanswered_seconds", "bulk"] == 2.5
    books.closed(first, True, 13.0)
    assert books.oldest() == (second, 11.0)
    books.closed(second, False, 13.0)
    assert books.oldest() is None


def test_an_answered_request_counts_with_its_inputs_and_tokens_and_its_time() -> None:
    books, item = LaneBooks(Lane.BULK), answer(an_item(["a", "b"]))
    item.prompt_tokens = 7
    books.read([item], 1.0)
    books.closed(item, True, 1.5)

    assert numbers(books) == {
        ("requests_total", "bulk", "answered"): 1,
        ("inputs_total", "bulk"): 2,
        ("prompt_tokens_total", "bulk"): 7,
    }
    [told] = [sample.value for sample in books.samples(0) if isinstance(sample.value, Told)]
    assert told.sum == 0.5


def test_a_tombstone_and_a_discarded_request_are_neither_answered_nor_failed() -> None:
    books, tombstone, discarded = LaneBooks(Lane.BULK), an_item(tombstone=True), an_item()
    discarded.error = RequestError(ErrorCode.TIMEOUT, "late", request_id="r1")
    books.read([tombstone, discarded], 0.0)
    books.closed(tombstone, True, 0.0)
    books.closed(discarded, False, 0.0)

    assert numbers(books) == {
        ("requests_total", "bulk", "tombstone"): 1,
        ("requests_total", "bulk", "discarded"): 1,
    }
    assert books.is_over == 2


@pytest.mark.parametrize(
    ("lane", "error", "kept"),
    [
        (Lane.BULK, RequestError(ErrorCode.MODEL_NOT_FOUND, "no", request_id="r"), 1),
        (Lane.INTERACTIVE, RequestError(ErrorCode.MODEL_NOT_FOUND, "no", request_id="r"), 0),
        (Lane.INTERACTIVE, RequestError(ErrorCode.MODEL_NOT_FOUND, "no"), 1),
        (Lane.BULK, RequestError(ErrorCode.TIMEOUT, "late", request_id="r"), 0),
        (Lane.INTERACTIVE, RequestError(ErrorCode.INTERNAL_ERROR, "ours", request_id="r"), 1),
        (Lane.INTERACTIVE, UnanswerableError(ErrorCode.NOT_JSON, "what"), 1),
    ],
)
def test_a_failure_counts_by_code_and_as_a_dead_letter_where_it_is_one(
    lane: Lane, error: RequestError | UnanswerableError, kept: int
) -> None:
    books, item = LaneBooks(lane), an_item(lane=lane)
    item.error = error
    books.read([item], 0.0)
    books.closed(item, True, 0.0)

    assert numbers(books)["failed_requests_total", lane.value, error.code] == 1
    assert numbers(AllBooks([books])) == ({("dead_letters_total", error.code): 1} if kept else {})


def test_malformed_headers_are_counted_by_name() -> None:
    books = LaneBooks(Lane.BULK)
    item = answer(an_item(headers=[("deadline", b"soon"), ("kafka_replyPartition", b"1")]))
    books.read([item], 0.0)
    books.closed(item, True, 0.0)

    assert numbers(AllBooks([books, LaneBooks(Lane.INTERACTIVE)])) == {
        ("malformed_headers_total", "deadline"): 1,
        ("malformed_headers_total", "kafka_replyPartition"): 1,
    }
