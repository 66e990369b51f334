"""A broker with topics of its own for one test, and what a plain producer and consumer do there."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import Lane, TopicNames
from tests.groups import beside_group
from transport.messages import from_confluent
from worker.attempts import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Of the producer and the reader: more than any topic takes, so that the broker's limits are met."""


class Read(NamedTuple):
    """A message as a plain consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.value or b"null")
        return found


@dataclass
class Place:
    """Where one test's messages go."""

    bootstrap: str
    topics: TopicNames
    _producer: Producer = field(init=False)
    _groups: dict[Lane, Consumer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "log_level": 0,
            }
        )

    @property
    def flags(self) -> list[str]:
        """What leads a `kafka-embeddings` command here."""
        return ["--bootstrap", self.bootstrap, "--prefix", self.topics.prefix]

    def send(
        self,
        value: bytes | dict[str, Any] | None,
        *,
        key: bytes | None = None,
        lane: Lane = Lane.BULK,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
    ) -> None:
        """Publish one request, as any producer would."""
        raw = json.dumps(value).encode() if isinstance(value, dict) else value
        self._producer.produce(
            self.topics.requests_of(lane), value=raw, key=key, headers=list(headers), partition=partition
        )
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has everything."""
        assert self._producer.flush(30) == 0

    def reader(self, *topics: str) -> Reader:
        """Reads topics from their beginning."""
        return Reader(self.bootstrap, topics)

    def committed(self, lane: Lane) -> dict[int, int]:
        """The lane's progress: partition -> next offset."""
        return {item.partition: item.offset for item in self._stored(lane)}

    def remembered(self, lane: Lane) -> set[Attempt]:
        """What stands beside the lane's committed offsets."""
        return {Attempt.decode(item.metadata or "") for item in self._stored(lane)}

    def _stored(self, lane: Lane) -> list[TopicPartition]:
        topic = self.topics.requests_of(lane)
        group = self._group(lane)
        partitions = group.list_topics(topic, timeout=10).topics[topic].partitions
        stored = group.committed([TopicPartition(topic, partition) for partition in partitions], timeout=10)
        return [item for item in stored if item.offset >= 0]

    def _group(self, lane: Lane) -> Consumer:
        if lane not in self._groups:
            self._groups[lane] = beside_group(self.bootstrap, self.topics.group(lane))
        return self._groups[lane]


class Reader:
    """Every message of some topics, gathered as they come."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "fetch.wait.max.ms": 10,
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "log_level": 0,
            }
        )
        self._places = []
        for topic in topics:
            self._places += [TopicPartition(topic, partition, 0) for partition in self._partitions(topic)]
        self._consumer.assign(self._places)
        self._next = {(place.topic, place.partition): 0 for place in self._places}
        self.messages: list[Read] = []

    def _partitions(self, topic: str) -> list[int]:
        """Of one just created the broker may tell none at first, and a reader of none would wait for nothing."""
        end = time.monotonic() + 30
        while not (partitions := self._consumer.list_topics(topic, timeout=10).topics[topic].partitions):
            assert time.monotonic() < end, f"topic {topic} has no partitions"
        return list(partitions)

    def poll(self, seconds: float = 0.1) -> None:
        """Gather what is there."""
        first = self._consumer.poll(seconds)
        for message in [first, *self._consumer.consume(1000, 0)] if first is not None else []:
            assert message.error() is None, message.error()
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            self._next[topic, partition] = offset + 1
            read = from_confluent(message)
            headers = {name: value or b"" for name, value in read.headers}
            self.messages.append(Read(topic, partition, offset, read.key, read.value, headers))

    def until(self, done: Callable[[list[Read]], bool], what: str, seconds: float = 60) -> list[Read]:
        """Gather until a condition holds."""
        end = time.monotonic() + seconds
        while not done(self.messages):
            assert time.monotonic() < end, f"after {seconds} s still waiting for {what}, have {len(self.messages)}"
            self.poll()
        return self.messages

    def until_count(self, count: int, seconds: float = 60) -> list[Read]:
        """Gather until so many messages are there."""
        return self.until(lambda messages: len(messages) >= count, f"{count} messages", seconds)

    def up_to_now(self) -> list[Read]:
        """Gather all that is there at this moment."""
        for place in self._places:
            _, end = self._consumer.get_watermark_offsets(place, timeout=10)
            while self._next[place.topic, place.partition] < end:
                self.poll()
        return self.messages

    def close(self) -> None:
        self._consumer.close()
