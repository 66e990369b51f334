"""`traffic.py`: a number and a seed decide a request, and every kind of request is among them."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import headers as names
from schemas.errors import ErrorCode
from schemas.topics import Lane

from .traffic import POOL_TEXTS, Part, Traffic, number_of, pool

SOME = range(20_000)


def test_a_request_is_the_same_whenever_it_is_asked_for() -> None:
    first, second = Traffic(3, "replies"), Traffic(3, "replies")

    assert [first.request(number, 5) for number in SOME] == [second.request(number, 5) for number in SOME]
    assert any(first.request(number) != Traffic(4, "replies").request(number) for number in range(10))


def test_texts_of_the_pool_are_no_two_alike() -> None:
    assert len(set(pool())) == POOL_TEXTS


def test_among_twenty_thousand_is_one_percent_poison_and_enough_of_every_kind() -> None:
    traffic = Traffic(1, "replies")
    kinds = Counter(traffic.request(number).kind for number in SOME)

    assert 150 <= kinds["poison"] <= 250
    assert min(kinds.values()) >= 150
    assert len(kinds) == 10
    poisons = Counter(asked.code for asked in map(traffic.request, SOME) if asked.kind == "poison")
    assert min(poisons.values()) >= 10
    assert len(poisons) == 6


def test_many_requests_share_the_id_of_a_document_and_are_in_one_order_by_their_key() -> None:
    traffic = Traffic(1, "replies")
    documents = [asked for asked in map(traffic.request, SOME) if asked.kind == "document"]

    assert len({asked.request_id for asked in documents}) < len(documents) / 2
    assert all(asked.key == asked.request_id.encode() for asked in documents)


def test_without_a_topic_for_replies_nothing_is_interactive() -> None:
    with_replies, without = Traffic(1, "replies"), Traffic(1, None)

    assert {with_replies.request(number).lane for number in SOME} == set(Lane)
    assert {without.request(number).lane for number in SOME} == {Lane.BULK}


def test_deadlines_and_nothing_else_depend_on_the_time() -> None:
    traffic = Traffic(1, "replies")
    for number in range(3000):
        early, late = traffic.request(number, 10**12), traffic.request(number, 10**12 + 7)
        deadlines = [int(dict(asked.headers).get(names.DEADLINE) or 0) for asked in (early, late)]
        assert deadlines[1] - deadlines[0] == (7 if deadlines[0] else 0)
        assert early.value == late.value
        assert (early.code is ErrorCode.TIMEOUT) == (early.kind == "expired")


def test_what_is_poison_is_answered_or_kept_and_the_rest_is_answered() -> None:
    traffic = Traffic(1, "replies")
    for asked in map(traffic.request, SOME):
        assert asked.needs is Part.RESPONSE or (asked.kind == "poison" and Part.DEAD_LETTER in asked.needs)


@pytest.mark.parametrize("header", [None, b"", b"12", b"123456789"])
def test_a_header_of_somebody_else_is_no_number(header: bytes | None) -> None:
    assert number_of(header) is None


def test_a_request_carries_its_number() -> None:
    assert number_of(dict(Traffic(1, None).request(1234).headers)[names.CORRELATION_ID]) == 1234
