"""`transport/lag.py`: how far a group is behind, by the broker's own books."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from transport.cluster import Cluster
from transport.errors import BrokerUnavailableError
from transport.lag import LagReader
from transport.profiles import KAFKA
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from .testbed import Testbed


def test_lag_is_what_is_there_and_not_committed(testbed: Testbed) -> None:
    topic, group = testbed.new_topic(2), f"lag-{uuid.uuid4().hex[:8]}"
    testbed.publish(topic, *[b"x"] * 5)
    lag = LagReader(testbed.cluster, topic, group)
    assert lag.read([0, 1]) == {0: 5, 1: 0}

    config = {"bootstrap.servers": testbed.cluster.settings.bootstrap, "group.id": group, "log_level": 0}
    consumer = Consumer({**config, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.close()

    assert lag.read([0]) == {0: 2}
    assert lag.read([]) == {}
    lag.close()


def test_a_broker_that_does_not_answer_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.lag._TIMEOUT_SECONDS", 0.3)
    lag = LagReader(Cluster(KafkaSettings(bootstrap="127.0.0.1:1"), KAFKA), "t", "g")
    with pytest.raises(BrokerUnavailableError, match="the lag of g"):
        lag.read([0])
    lag.close()


class Refuses:
    """A consumer that may not see what the group has committed."""

    def __init__(self, place: TopicPartition | None) -> None:
        self._place = place

    def committed(self, *_: object, **__: object) -> list[TopicPartition]:
        if self._place is None:
            raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
        return [self._place]


class RefusedPlace(TopicPartition):
    @property
    def error(self) -> KafkaError:
        return KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)


@pytest.mark.parametrize("place", [None, RefusedPlace("t", 0)], ids=["whole", "partition"])
def test_a_refusal_is_told_as_such_too(place: TopicPartition | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.lag.Consumer", lambda _: Refuses(place))
    lag = LagReader(Cluster(KafkaSettings(), KAFKA), "t", "g")
    with pytest.raises(BrokerUnavailableError, match=r"the lag of g.*GROUP_AUTHORIZATION_FAILED"):
        lag.read([0])
