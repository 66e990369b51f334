"""Both brokers, and worker processes that are gone when the test is."""

from __future__ import annotations

import signal
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from ..stack.command import Command
from .place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def kafka_place_on(bootstrap: str) -> Place:
    """Topics of a test's own on a real Kafka."""
    topics = TopicNames(f"e2e-{uuid.uuid4().hex[:8]}")
    create_topics(Cluster.probe(KafkaSettings(bootstrap=bootstrap)), topics.all())
    return Place(bootstrap, topics)


@pytest.fixture
def kafka_place(kafka_bootstrap: str) -> Place:
    """Topics of this test's own on a real Kafka."""
    return kafka_place_on(kafka_bootstrap)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Topics of this test's own, on either broker."""
    if request.param == "kafka":
        yield kafka_place_on(request.getfixturevalue("kafka_bootstrap"))
        return
    with EmbeddedBroker() as broker:
        topics = TopicNames(f"e2e-{uuid.uuid4().hex[:8]}")
        broker.create_topics(topics)
        yield Place(broker.bootstrap, topics)


class WorkerProcess:
    """`kafka-embeddings worker`, which may be killed and started again."""

    def __init__(
        self,
        place: Place,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        script: str | None = None,
    ) -> None:
        self._environment = environment
        self._script = script
        self._arguments = ("worker", *place.flags, *flags)
        self._commands: list[Command] = []
        self.start()

    @property
    def command(self) -> Command:
        """The process started last."""
        return self._commands[-1]

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._commands.append(Command(*self._arguments, environment=self._environment, script=self._script))
        self.command.wait_for('"ready"', within_seconds=120)

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.command.signal(signal.SIGTERM)
        return self.command.wait(40)

    @property
    def log(self) -> str:
        """What all its processes have said."""
        return "".join(command.stderr for command in self._commands)


@pytest.fixture
def start_worker() -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers; whatever still runs at the end is killed."""
    started: list[WorkerProcess] = []

    def start(place: Place, *flags: str, **others: Any) -> WorkerProcess:
        started.append(WorkerProcess(place, *flags, **others))
        return started[-1]

    yield start
    for worker in started:
        worker.command.kill()
