"""`tests/exactly_once.py`: it finds what is wrong, so that its silence means something."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from schemas import headers as names
from schemas.headers import encode_number
from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from . import exactly_once
from .exactly_once import open_transaction, open_transactions, problems, read_committed
from .stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer, TopicPartition

REQUESTS = 3


def _published(bootstrap: str, answered: Sequence[int], dead: Sequence[int]) -> TopicNames:
    """Three requests on partition 0, with answers and dead letters for those offsets."""
    topics = TopicNames(f"checker-{uuid.uuid4().hex[:8]}")
    used = (topics.requests, topics.responses, topics.errors, topics.dead_letters)
    few = {topic: replace(topics.all()[topic], partitions=2) for topic in used}
    create_topics(Cluster.probe(KafkaSettings(bootstrap=bootstrap)), few)
    producer = Producer({"bootstrap.servers": bootstrap})
    for _ in range(REQUESTS):
        producer.produce(topics.requests, b"{}", partition=0)
    for offset in answered:
        origin = {names.SOURCE_PARTITION: b"0", names.SOURCE_OFFSET: encode_number(offset)}
        producer.produce(topics.responses, b"{}", headers=origin)
    for offset in dead:
        origin = {names.DLQ_PARTITION: b"0", names.DLQ_OFFSET: encode_number(offset)}
        producer.produce(topics.dead_letters, b"{}", headers=origin)
    assert producer.flush(30) == 0
    return topics


def test_an_answer_or_a_dead_letter_or_both_are_right(kafka_bootstrap: str) -> None:
    assert problems(kafka_bootstrap, _published(kafka_bootstrap, answered=[0, 1], dead=[1, 2])) == []


def test_each_way_of_not_exactly_once_is_found(kafka_bootstrap: str) -> None:
    topics = _published(kafka_bootstrap, answered=[0, 0, 9], dead=[2, 2])

    assert problems(kafka_bootstrap, topics) == [
        "lost: Place(partition=0, offset=1)",
        "answered 2 times: Place(partition=0, offset=0)",
        "2 dead letters: Place(partition=0, offset=2)",
        "answered without a request: Place(partition=0, offset=9)",
    ]


def test_an_answer_that_is_not_committed_counts_for_nothing(kafka_bootstrap: str) -> None:
    topics = _published(kafka_bootstrap, [0, 1, 2], [])
    with (
        open_transaction(kafka_bootstrap, topics.responses),
        pytest.raises(AssertionError, match="not read to the end in time"),
    ):
        problems(kafka_bootstrap, topics, within_seconds=0.5)

    values = [message.value for message in read_committed(kafka_bootstrap, [topics.responses], time.monotonic() + 30)]
    assert values == [b"{}"] * REQUESTS


def test_a_transaction_is_found_at_its_first_message_until_it_is_over(kafka_bootstrap: str) -> None:
    responses = _published(kafka_bootstrap, [], []).responses
    with open_transaction(kafka_bootstrap, responses):
        assert open_transactions(kafka_bootstrap, responses) == {exactly_once.Place(0, 0)}

    wait_until(lambda: not open_transactions(kafka_bootstrap, responses), "the marker of its end")


def test_a_transaction_that_begins_and_ends_while_we_look_is_not_open(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = _published(kafka_bootstrap, [], []).responses
    end_offset, ends = exactly_once._end_offset, list[int]()

    def end_offset_before_a_transaction(consumer: Consumer, place: TopicPartition) -> int:
        end = end_offset(consumer, place)
        if place.partition == 0 and not ends:
            with open_transaction(kafka_bootstrap, responses):
                pass
        ends.append(end)
        return end

    monkeypatch.setattr(exactly_once, "_end_offset", end_offset_before_a_transaction)
    assert open_transactions(kafka_bootstrap, responses) == set()
    assert ends[0] == 0
