"""Dead letters as a worker would have left them, on any broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from confluent_kafka import Producer

from schemas.errors import ErrorCode, UnanswerableError
from transport.bounded_reader import BoundedReader
from transport.cluster import Cluster
from transport.deletion import delete_before
from transport.messages import Message
from transport.settings import KafkaSettings
from worker.dead_letters import dead_letter_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import confluent_kafka

    from schemas.headers import Header
    from schemas.topics import TopicNames
    from tests.stack.fixtures import RunHere


@dataclass
class Morgue:
    """Where requests and dead letters are put as producers and workers put them."""

    topics: TopicNames
    run_here: RunHere
    cluster: Cluster
    producer: Producer

    def request(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        topic: str | None = None,
        partition: int = 0,
    ) -> Message:
        """Publish a request; the message as a worker reads it."""
        topic = topic or self.topics.requests
        offset = self._produce(topic, key, value, headers, partition)
        return Message(topic, partition, offset, 1_700_000_000_000, key, value, tuple(headers))

    def bury(
        self,
        message: Message,
        code: ErrorCode = ErrorCode.NOT_JSON,
        *,
        attempt: int = 1,
        left_out: str = "",
        partition: int = 0,
    ) -> str:
        """Make a message a dead letter; its place."""
        error = UnanswerableError(code, "no good")
        headers = dead_letter_headers(message, error, "w1", attempt=attempt, left_out=left_out)
        topic = self.topics.dead_letters
        return f"{partition}:{self._produce(topic, message.key, message.value, headers, partition)}"

    def dead(self, value: bytes | None = b"not json", *, key: bytes | None = None, **others: object) -> str:
        """A request that became a dead letter; its place."""
        return self.bury(self.request(value, key=key), **others)  # type: ignore[arg-type]

    def on(self, topic: str, partition: int = 0) -> list[Message]:
        """All that is in a partition."""
        with BoundedReader(self.cluster, topic, [partition]) as reader:
            return list(reader)

    @property
    def flags(self) -> list[str]:
        """What leads every command here."""
        return ["--bootstrap", self.cluster.settings.bootstrap, "--prefix", self.topics.prefix]

    def shorten(self, topic: str, offset: int) -> None:
        """Delete the beginning of partition 0, as retention does."""
        delete_before(self.cluster, topic, {0: offset})

    def dlq(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command of `dlq` here."""
        return self.run_here("dlq", arguments[0], *self.flags, *arguments[1:])

    def _produce(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[Header], partition: int
    ) -> int:
        told: list[confluent_kafka.Message] = []
        self.producer.produce(
            topic,
            value,
            key,
            partition,
            headers=list(headers),
            on_delivery=lambda error, message: told.append(message) if error is None else None,
        )
        assert self.producer.flush(20) == 0
        [message] = told
        offset = message.offset()
        assert offset is not None
        return offset


@dataclass(frozen=True)
class Ground:
    """A broker and clients of it."""

    cluster: Cluster
    producer: Producer

    @classmethod
    def at(cls, bootstrap: str) -> Self:
        cluster = Cluster.probe(KafkaSettings(bootstrap=bootstrap))
        return cls(cluster, Producer({"bootstrap.servers": bootstrap, "log_level": 0}))

    def morgue(self, topics: TopicNames, run_here: RunHere) -> Morgue:
        return Morgue(topics, run_here, self.cluster, self.producer)
