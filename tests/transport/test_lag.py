"""`transport/lag.py`: how far a group is behind, by the broker's own books."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from transport.cluster import Cluster
from transport.errors import BrokerUnavailableError
from transport.lag import read_lag
from transport.profiles import KAFKA
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from .testbed import Testbed


def test_lag_is_what_is_there_and_not_committed(testbed: Testbed) -> None:
    topic, group = testbed.new_topic(2), f"lag-{uuid.uuid4().hex[:8]}"
    testbed.publish(topic, *[b"x"] * 5)
    assert read_lag(testbed.cluster, topic, group, [0, 1]) == {0: 5, 1: 0}

    config = {"bootstrap.servers": testbed.cluster.settings.bootstrap, "group.id": group, "log_level": 0}
    consumer = Consumer({**config, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.close()

    assert read_lag(testbed.cluster, topic, group, [0]) == {0: 2}
    assert read_lag(testbed.cluster, topic, group, []) == {}


def test_a_broker_that_does_not_answer_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.lag._TIMEOUT_SECONDS", 0.3)
    nowhere = Cluster(KafkaSettings(bootstrap="127.0.0.1:1"), KAFKA)
    with pytest.raises(BrokerUnavailableError, match="the lag of g"):
        read_lag(nowhere, "t", "g", [0])


def test_a_refusal_is_told_as_such_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))

    cluster = Cluster(KafkaSettings(), KAFKA)
    monkeypatch.setattr(cluster, "_admin", SimpleNamespace(list_consumer_group_offsets=refuses))
    with pytest.raises(BrokerUnavailableError, match="the lag of g"):
        read_lag(cluster, "t", "g", [0])
