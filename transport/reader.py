"""Reads whole partitions from given offsets, outside any group: replies and beats.

A start "at the end" that is left to the broker loses what is written before the fetch starts (20 of 20 replies in
one measurement), so the end is asked for and the partition assigned at that very offset.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .cluster import new_client
from .errors import BrokerUnavailableError, FatalTransportError
from .messages import Message, from_confluent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cluster import Cluster


log = structlog.get_logger("transport")

_NOT_YET_KNOWN: Final = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
_NO_TROUBLE: Final = frozenset({KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED})
"""librdkafka looks for the coordinator of a group that it is never told to join, and may not."""
_ASK_AGAIN_SECONDS: Final = 0.1


class PartitionReader:
    """Reads partitions of one topic from a fixed start; never joins a group, never commits.

    Args:
        cluster: Where to read.
        topic: What to read.
        partitions: Which partitions.
        back: Messages before the end to start at, per partition.
        patient: Whether nobody waits for what is read, see `Cluster.consumer_config`.
        timeout_seconds: Bound for asking the end offsets.

    Raises:
        BrokerUnavailableError: The end offsets could not be read.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partitions: Sequence[int],
        *,
        back: int = 0,
        patient: bool = False,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.topic = topic
        self._expected: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # Otherwise one killed worker's open transaction holds up every reply behind it.
        self._consumer = consumer_outside_groups(cluster, topic, patient=patient, isolation="read_uncommitted")
        starts = []
        for partition in partitions:
            low, high = watermarks(self._consumer, topic, partition, timeout_seconds)
            start = max(low, high - back)
            self._ends[partition] = high
            self._expected[partition] = start
            starts.append(TopicPartition(topic, partition, start))
        self._consumer.assign(starts)

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        """Wait for a first message, then take what else is at hand. Blocks up to `timeout_seconds`.

        Raises:
            FatalTransportError: librdkafka gave up, or access is denied.
        """
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        messages = []
        for message in (first, *self._consumer.consume(max_messages - 1, 0)):
            error = message.error()
            if error is None:
                messages.append(from_confluent(message))
            elif error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise FatalTransportError(f"reading {self.topic}: {error.name()}: {error.str()}")
            elif error.code() not in _NO_TROUBLE:
                log.warning("kafka trouble, retrying by itself", topic=self.topic, error=error.name())
        return messages

    def skipped(self, message: Message) -> int:
        """Offsets between the last message of this partition and this one; call once for each message."""
        expected = self._expected.get(message.partition, message.offset)
        self._expected[message.partition] = message.offset + 1
        return max(0, message.offset - expected)

    def was_there(self, message: Message) -> bool:
        """Whether a message had been written before this reader started."""
        return message.offset < self._ends[message.partition]

    def close(self) -> None:
        """Stop reading. From the thread that polls."""
        self._consumer.close()


def consumer_outside_groups(
    cluster: Cluster, topic: str, *, patient: bool, ends: bool = False, isolation: str = "read_committed"
) -> Consumer:
    """A consumer that joins no group and commits nothing.

    Args:
        cluster: Where to read.
        topic: Named in logs.
        patient: See `Cluster.consumer_config`.
        ends: Whether it tells when it is at the end of a partition.
        isolation: What it sees of transactions, as librdkafka's `isolation.level`.

    Raises:
        SettingsError: librdkafka does not take the settings.
    """
    config = cluster.consumer_config(f"reader-{topic}", f"reader-{topic}", patient=patient)
    config |= {
        "group.protocol": "classic",
        "queued.max.messages.kbytes": 16 * 1024,
        "fetch.queue.backoff.ms": 20,
        "enable.partition.eof": ends,
        "isolation.level": isolation,
    }
    return new_client(Consumer, config)


def watermarks(consumer: Consumer, topic: str, partition: int, timeout_seconds: float) -> tuple[int, int]:
    """First offset and end offset of a partition, asked now; the consumer is closed where they cannot be read.

    Raises:
        BrokerUnavailableError: They could not be read in time.
    """
    where = TopicPartition(topic, partition)
    until = time.monotonic() + timeout_seconds
    while True:
        try:
            return consumer.get_watermark_offsets(where, timeout=timeout_seconds)
        except KafkaException as error:
            # A broker that has just started, or a topic just created, is unknown for a moment.
            if error.args[0].code() in _NOT_YET_KNOWN and time.monotonic() < until:
                time.sleep(_ASK_AGAIN_SECONDS)
                continue
            consumer.close()
            raise BrokerUnavailableError(
                f"cannot read the end of {topic}, partition {partition}: {error.args[0].str()}"
            ) from error
