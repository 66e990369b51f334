"""A broker to test on, whichever it is, with topics of each test's own and bounded waits instead of sleeps."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import NewTopic

from transport.cluster import Cluster
from transport.consumer import GroupConsumer
from transport.errors import BrokerUnavailableError
from transport.producer import DeliveringProducer
from transport.reader import PartitionReader
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from schemas.headers import Header
    from transport.embedded import EmbeddedBroker
    from transport.messages import Message
    from transport.producer import DeliveryFailure

BOUND_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.05


def wait_until(condition: Callable[[], bool], within_seconds: float = BOUND_SECONDS) -> bool:
    """Whether the condition came true in time; it may do work, a poll for instance."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@dataclass(frozen=True)
class Testbed:
    """One broker and how to make topics on it.

    Attributes:
        cluster: The broker, reached.
        make_topic: Makes a topic of that many partitions.
    """

    __test__ = False

    cluster: Cluster
    make_topic: Callable[[str, int], None]

    @classmethod
    def on_embedded(cls, broker: EmbeddedBroker) -> Testbed:
        return cls(Cluster.probe(KafkaSettings(bootstrap=broker.bootstrap)), broker.create_topic)

    @classmethod
    def on_kafka(cls, settings: KafkaSettings) -> Testbed:
        cluster = Cluster.probe(settings)
        admin = cluster.admin()

        def make_topic(name: str, partitions: int) -> None:
            # Room above the default limit of 1 MiB, so that a large message meets our own bounds first.
            topic = NewTopic(name, partitions, 1, config={"max.message.bytes": str(2 * 1024 * 1024)})
            admin.create_topics([topic])[name].result(BOUND_SECONDS)
            assert wait_until(lambda: is_readable(cluster, name, partitions))

        return cls(cluster, make_topic)

    def with_settings(self, settings: KafkaSettings) -> Testbed:
        """The same broker, reached otherwise."""
        return replace(self, cluster=Cluster(settings, self.cluster.profile))

    def new_topic(self, partitions: int = 1) -> str:
        """A topic nobody else uses: a given cluster keeps what earlier runs left."""
        name = f"contract-{uuid.uuid4().hex}"
        self.make_topic(name, partitions)
        return name

    @cached_property
    def shared_producer(self) -> DeliveringProducer:
        """One for all tests: the first message of a producer takes half a second."""
        return DeliveringProducer(self.cluster, "test", linger_ms=0)

    @contextmanager
    def producer(self, linger_ms: float = 0) -> Iterator[Publisher]:
        """A producer of the test's own where it lingers, else the shared one."""
        if not linger_ms:
            yield Publisher(self.shared_producer)
            return
        own = DeliveringProducer(self.cluster, "test", linger_ms=linger_ms)
        try:
            yield Publisher(own)
        finally:
            own.close(1.0)

    def close(self) -> None:
        self.shared_producer.close(1.0)

    @contextmanager
    def reader(self, topic: str, partitions: Sequence[int] = (0,), *, back: int = 0) -> Iterator[PartitionReader]:
        reader = PartitionReader(self.cluster, topic, partitions, back=back)
        try:
            yield reader
        finally:
            reader.close()

    def publish(self, topic: str, *values: bytes | None, partition: int | None = 0) -> None:
        """Publish values in order and wait until the broker has them."""
        with self.producer() as publisher:
            for value in values:
                publisher.send(topic, value=value, partition=partition)
            assert publisher.outcomes() == [None] * len(values)

    def read_all(self, topic: str, count: int, partitions: Sequence[int] = (0,)) -> list[Message]:
        """The last `count` messages of each partition, so all there are where there are no more."""
        with self.reader(topic, partitions, back=count) as reader:
            return read(reader, count)


class Publisher:
    """A producer and the outcome of each of its messages, in the order they were told."""

    def __init__(self, producer: DeliveringProducer) -> None:
        self.producer = producer
        self.told: list[DeliveryFailure | None] = []
        self._sent = 0

    def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = 0,
    ) -> None:
        self._sent += 1
        self.producer.produce(
            topic, key=key, value=value, headers=headers, partition=partition, on_delivery=self.told.append
        )

    def outcomes(self, within_seconds: float = BOUND_SECONDS) -> list[DeliveryFailure | None]:
        """What became of every message so far."""
        self.producer.flush(within_seconds)
        assert wait_until(lambda: len(self.told) >= self._sent, within_seconds), f"{len(self.told)} of {self._sent}"
        return list(self.told)


def read(reader: PartitionReader, count: int, within_seconds: float = BOUND_SECONDS) -> list[Message]:
    """Poll until there are at least `count` messages, or the time is up."""
    messages: list[Message] = []

    def enough() -> bool:
        messages.extend(reader.poll(1000, POLL_SECONDS))
        return len(messages) >= count

    wait_until(enough, within_seconds)
    return messages


class Member:
    """A group member under test: what it was assigned and what it read, in order."""

    def __init__(self, cluster: Cluster, topic: str, group: str, *, commits_in_revoked: bool = False) -> None:
        self.held: set[int] = set()
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.messages: list[Message] = []
        self._commits_in_revoked = commits_in_revoked
        self._left = False
        self.consumer = GroupConsumer(cluster, topic, group, self, prefetch_bytes=1024 * 1024)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.calls.append(("assigned", tuple(sorted(partitions))))
        self.held.update(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.calls.append(("revoked", tuple(sorted(partitions))))
        self.held.difference_update(partitions)
        if self._commits_in_revoked:
            self.commit(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.calls.append(("lost", tuple(sorted(partitions))))
        self.held.difference_update(partitions)

    def poll(self, timeout_seconds: float = POLL_SECONDS) -> list[Message]:
        polled = self.consumer.poll(1000, timeout_seconds)
        self.messages += polled
        return polled

    def read(self, count: int, within_seconds: float = BOUND_SECONDS) -> list[Message]:
        """Poll until this member has read `count` messages in all."""

        def enough() -> bool:
            self.poll()
            return len(self.messages) >= count

        wait_until(enough, within_seconds)
        return self.messages

    def next_offsets(self, partitions: Sequence[int] | None = None) -> dict[int, int]:
        """Next offset of each partition this member has read from."""
        return {
            message.partition: message.offset + 1
            for message in self.messages
            if partitions is None or message.partition in partitions
        }

    def commit(self, partitions: Sequence[int] | None = None) -> bool:
        return self.consumer.commit(self.next_offsets(partitions))

    def leave(self) -> None:
        """Close; a second time does nothing."""
        if not self._left:
            self._left = True
            self.consumer.close()

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.messages]


@contextmanager
def members(
    cluster: Cluster, topic: str, group: str, count: int = 1, *, commits_in_revoked: bool = False
) -> Iterator[list[Member]]:
    """Members of one group, used by the thread that opens them; closed at the end where the test has not."""
    joined = [Member(cluster, topic, group, commits_in_revoked=commits_in_revoked) for _ in range(count)]
    try:
        yield joined
    finally:
        for member in joined:
            member.leave()


def is_readable(cluster: Cluster, topic: str, partitions: int) -> bool:
    """Whether every partition has its leader, which it gets a moment after the topic is created."""
    try:
        PartitionReader(cluster, topic, range(partitions)).close()
    except BrokerUnavailableError:
        return False
    return True
