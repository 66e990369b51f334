"""A dead-letter topic with what a worker would have put there, on either broker."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from schemas.topics import TopicNames
from transport.embedded import EmbeddedBroker
from transport.topic_setup import create_topics

from .morgue import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.fixtures import RunHere

    from .morgue import Morgue


@pytest.fixture(scope="module")
def kafka_ground(kafka_bootstrap: str) -> Ground:
    return Ground.at(kafka_bootstrap)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def morgue(request: pytest.FixtureRequest) -> Morgue:
    """On either broker."""
    found: Morgue = request.getfixturevalue(f"{request.param}_morgue")
    return found


@pytest.fixture
def embedded_morgue(run_here: RunHere) -> Iterator[Morgue]:
    """On the embedded broker: for what has nothing to do with which one it is."""
    topics = _new_topics()
    with EmbeddedBroker() as broker:
        # Before it has clients: beside them it makes a topic at once or after a second.
        broker.create_topics(topics)
        yield Ground.at(broker.bootstrap).morgue(topics, run_here)


@pytest.fixture
def kafka_morgue(kafka_ground: Ground, run_here: RunHere) -> Morgue:
    """On a real Kafka."""
    topics = _new_topics()
    create_topics(kafka_ground.cluster, topics.all())
    return kafka_ground.morgue(topics, run_here)


def _new_topics() -> TopicNames:
    return TopicNames(f"dlq-{uuid.uuid4().hex[:8]}")
