"""The brokers these tests run on; `cluster` and what hangs on it come once for each."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings

from .testbed import Testbed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transport.cluster import Cluster

# Heartbeats come three times a session, and tell members of a rebalance; a given cluster refuses less than 6 s.
_SESSION_SECONDS: Final = 6.0 if "KAFKA_BOOTSTRAP" in os.environ else 2.0

ON_KAFKA: Final = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded(embedded_broker: EmbeddedBroker) -> Iterator[Testbed]:
    with closing(Testbed.on_embedded(embedded_broker)) as testbed:
        yield testbed


@pytest.fixture(scope="session")
def kafka(kafka_bootstrap: str) -> Iterator[Testbed]:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, session_timeout_seconds=_SESSION_SECONDS)
    with closing(Testbed.on_kafka(settings)) as testbed:
        yield testbed


@pytest.fixture(scope="session", params=["embedded", ON_KAFKA])
def testbed(request: pytest.FixtureRequest) -> Testbed:
    """Every broker in turn."""
    found: Testbed = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def cluster(testbed: Testbed) -> Cluster:
    return testbed.cluster


@pytest.fixture(
    scope="session",
    params=[
        "embedded",
        pytest.param("kafka-classic", marks=pytest.mark.kafka),
        pytest.param("kafka-consumer", marks=pytest.mark.kafka),
    ],
)
def grouping(request: pytest.FixtureRequest) -> Testbed:
    """Every broker in turn, Kafka under both of its group protocols."""
    if request.param == "embedded":
        on_embedded: Testbed = request.getfixturevalue("embedded")
        return on_embedded
    on_kafka: Testbed = request.getfixturevalue("kafka")
    protocol = request.param.removeprefix("kafka-")
    return on_kafka.with_settings(on_kafka.cluster.settings.model_copy(update={"group_protocol": protocol}))


@pytest.fixture
def with_admin(testbed: Testbed) -> Testbed:
    if not testbed.cluster.profile.has_admin:
        pytest.skip(f"the {testbed.cluster.profile.name} broker has no admin API")
    return testbed
