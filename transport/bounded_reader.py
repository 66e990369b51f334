"""Reads partitions of one topic up to the ends they had when reading began, and stops there.

Where a partition ends is asked once. Its last offset need not hold a message: behind a transaction stands a marker,
and compaction leaves holes. So a partition is done with the first message at or past the end, or when the broker says
that nothing more is there; it is never counted up to an offset.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

import structlog
from confluent_kafka import KafkaError, TopicPartition

from .errors import BrokerUnavailableError, FatalTransportError
from .messages import Message, from_confluent
from .reader import consumer_outside_groups, watermarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .cluster import Cluster

log = structlog.get_logger("transport")

_POLL_SECONDS: Final = 0.1
_POLL_MESSAGES: Final = 1000
_ASK_SECONDS: Final = 10.0
_ACCESS_DENIED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})


class BoundedReader:
    """Reads what is there now; joins no group, commits nothing. From one thread; a context manager.

    Args:
        cluster: Where to read.
        topic: What to read; it exists.
        partitions: Which partitions of it.
        starts: First offset wanted of a partition; without one, from its beginning.
        silence_seconds: How long the broker may give nothing at all.

    Attributes:
        firsts: First offset that is still kept, by partition.
        ends: End offset, by partition: past the last message that is read.

    Raises:
        BrokerUnavailableError: The ends could not be read.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partitions: Sequence[int],
        *,
        starts: Mapping[int, int] | None = None,
        silence_seconds: float = 30.0,
    ) -> None:
        self._topic = topic
        self._silence_seconds = silence_seconds
        self._consumer = consumer_outside_groups(cluster, topic, patient=True, ends=True)
        self.firsts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        places = []
        for partition in partitions:
            first, end = watermarks(self._consumer, topic, partition, _ASK_SECONDS)
            self.firsts[partition], self.ends[partition] = first, end
            start = max(first, (starts or {}).get(partition, first))
            if start < end:
                places.append(TopicPartition(topic, partition, start))
        self._unread = {place.partition for place in places}
        if places:
            self._consumer.assign(places)

    def __iter__(self) -> Iterator[Message]:
        """Every message between start and end, once: of one partition in order, of several in turn as they come.

        Raises:
            BrokerUnavailableError: The broker has fallen silent before the end.
            FatalTransportError: librdkafka gave up, or access is denied.
        """
        heard_at = time.monotonic()
        while self._unread:
            if time.monotonic() - heard_at > self._silence_seconds:
                raise BrokerUnavailableError(
                    f"reading {self._topic}: nothing for {self._silence_seconds:g} s, and the end is not reached: "
                    "see whether its partitions have leaders, then try again"
                )
            first = self._consumer.poll(_POLL_SECONDS)
            if first is None:
                continue
            for message in (first, *self._consumer.consume(_POLL_MESSAGES - 1, 0)):
                error = message.error()
                if error is not None:
                    self._take_error(error, message.partition())
                    continue
                heard_at = time.monotonic()
                read = from_confluent(message)
                if read.partition not in self._unread:
                    continue
                if read.offset < self.ends[read.partition]:
                    yield read
                if read.offset + 1 >= self.ends[read.partition]:
                    self._done(read.partition)

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_error(self, error: KafkaError, partition: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            # Nothing is behind it now, so nothing was when the ends were read.
            self._done(partition)
        elif error.fatal() or error.code() in _ACCESS_DENIED:
            raise FatalTransportError(f"reading {self._topic}: {error.name()}: {error.str()}")
        else:
            log.warning("kafka trouble, retrying by itself", topic=self._topic, error=error.name())

    def _done(self, partition: int | None) -> None:
        if partition in self._unread:
            self._unread.discard(partition)
            self._consumer.pause([TopicPartition(self._topic, partition)])
