"""What a look at the commits takes for told."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.stack.waiting import wait_until

from .traffic import Traffic
from .watching import ends_of, request_at

if TYPE_CHECKING:
    from tests.kafka_broker import KafkaBroker

_BOUND_SECONDS = 30.0


def _told(admin: AdminClient) -> dict[tuple[str, int], int]:
    try:
        return ends_of(admin, [("answers", 0)])
    except KafkaException:
        # A topic that is new has no leader for a moment.
        return {}


def test_a_request_is_known_by_its_place_on_the_topic(kafka_bootstrap: str) -> None:
    topic = f"chaos-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(_BOUND_SECONDS)
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for number in (7, 5):
        asked = Traffic(1, None).request(number)
        producer.produce(topic, asked.value, asked.key, headers=list(asked.headers))
    assert producer.flush(_BOUND_SECONDS) == 0

    assert [request_at(kafka_bootstrap, topic, 0, offset) for offset in (0, 1)] == [7, 5]


def test_a_broker_that_is_silent_has_not_told_where_its_topics_end(kafka_broker: KafkaBroker) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic("answers", 1)])["answers"].result(_BOUND_SECONDS)
    wait_until(lambda: _told(admin) == {("answers", 0): 0}, "the end of a topic")

    kafka_broker.pause()
    try:
        with pytest.raises(KafkaException, match="the ends of the answers were not told"):
            ends_of(admin, [("answers", 0)])
    finally:
        kafka_broker.resume()
