"""Holds topics to "exactly once": what a read_committed reader sees of the answers, against the requests there are.

For any test over a real Kafka, whatever has happened to workers and brokers before. A request is known by its place
on the request topic, so several of one id are no duplicates.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas import headers as names
from schemas.topics import Lane
from transport.messages import from_confluent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schemas.topics import TopicNames
    from transport.messages import Message

_POLL_SECONDS = 0.2
_ASK_SECONDS = 10.0
_MAX_BYTES = 32 * 1024 * 1024


class Place(NamedTuple):
    """Where a message is in its topic."""

    partition: int
    offset: int


def problems(
    bootstrap: str, topics: TopicNames, *, more: Sequence[str] = (), within_seconds: float = 60.0
) -> list[str]:
    """What is wrong with the answers to the bulk lane's requests; empty: each has its answer or dead letter, once.

    Args:
        bootstrap: The brokers.
        topics: Of the workers.
        more: Further topics that answers went to, beside responses and errors.
        within_seconds: Bound; a transaction that a killed worker left open must be over by then.

    Raises:
        AssertionError: The end of some topic cannot be read in time.
    """
    requests_topic = topics.requests_of(Lane.BULK)
    until = time.monotonic() + within_seconds
    asked = {Place(one.partition, one.offset) for one in read_committed(bootstrap, [requests_topic], until)}
    answers = Counter(_origins(read_committed(bootstrap, [topics.responses, topics.errors, *more], until)))
    letters = Counter(_origins(read_committed(bootstrap, [topics.dead_letters], until)))
    done = answers.keys() | letters.keys()
    return [
        *(f"lost: {place}" for place in sorted(asked - done)),
        *(f"answered {count} times: {place}" for place, count in sorted(answers.items()) if count > 1),
        *(f"{count} dead letters: {place}" for place, count in sorted(letters.items()) if count > 1),
        *(f"answered without a request: {place}" for place in sorted(done - asked)),
    ]


def read_committed(bootstrap: str, topics: Sequence[str], until: float) -> list[Message]:
    """Every message that a read_committed reader sees once no transaction is open.

    Args:
        bootstrap: The brokers.
        topics: Read from their beginning.
        until: Bound, of `time.monotonic`.

    Raises:
        AssertionError: The end is not there in time.
    """
    messages: list[Message] = []
    reader, ends = _consumer(bootstrap, "read_committed"), end_offsets(bootstrap, topics)
    try:
        places = [TopicPartition(topic, partition, 0) for topic, partition in ends]
        reader.assign(places)
        reached: dict[tuple[str, int], int] = {}
        while any(reached.get(place, 0) < end for place, end in ends.items()):
            assert time.monotonic() < until, f"not read to the end in time, which is {ends}: {reached}"
            for polled in reader.consume(1000, _POLL_SECONDS):
                error = polled.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    # A transaction's marker takes an offset and is no message: only this tells the end.
                    reached[polled.topic() or "", polled.partition() or 0] = polled.offset() or 0
                elif error is None:
                    messages.append(from_confluent(polled))
    finally:
        reader.close()
    return messages


def end_offsets(bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """End offsets by topic and partition, open transactions included."""
    consumer = _consumer(bootstrap, "read_uncommitted")
    try:
        return {
            (topic, partition): _end_offset(consumer, TopicPartition(topic, partition))
            for topic in topics
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions
        }
    finally:
        consumer.close()


def _end_offset(consumer: Consumer, place: TopicPartition) -> int:
    """End of a partition; under `read_committed` the first open transaction is the end."""
    until = time.monotonic() + _ASK_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS)[1]
        except KafkaException:
            # A topic that is new, or a broker that has come back, has no leader for a moment.
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)


def has_open_transaction(bootstrap: str, topic: str) -> bool:
    """Whether readers of a topic are held up by a transaction."""
    return bool(open_transactions(bootstrap, topic))


def open_transactions(bootstrap: str, topic: str) -> set[Place]:
    """The messages at which readers of a topic are held up; one that stays there belongs to one that stays open.

    One that begins and ends while we look is not among them: what lies before the log's end, asked for first, and
    holds up readers afterwards, had begun at the one answer and was not over at the other. A transaction whose end
    is decided counts as open until the topic has its marker (`PrepareCommit`, `PrepareAbort`).
    """
    everything, committed = _consumer(bootstrap, "read_uncommitted"), _consumer(bootstrap, "read_committed")
    places = set()
    try:
        for partition in everything.list_topics(topic, timeout=_ASK_SECONDS).topics[topic].partitions:
            end = _end_offset(everything, TopicPartition(topic, partition))
            stable_end = _end_offset(committed, TopicPartition(topic, partition))
            if stable_end < end:
                places.add(Place(partition, stable_end))
    finally:
        everything.close()
        committed.close()
    return places


@contextmanager
def open_transaction(bootstrap: str, topic: str, value: bytes = b"never committed") -> Iterator[None]:
    """A transaction with one message on partition 0; aborted at the end."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"open-{uuid.uuid4().hex}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.flush(30)
    yield
    producer.abort_transaction(30)


def _origins(messages: Iterable[Message]) -> Iterable[Place]:
    for message in messages:
        headers = dict(message.headers)
        partition = headers.get(names.SOURCE_PARTITION) or headers.get(names.DLQ_PARTITION)
        offset = headers.get(names.SOURCE_OFFSET) or headers.get(names.DLQ_OFFSET)
        yield Place(int(partition or -1), int(offset or -1))


def _consumer(bootstrap: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"checker-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "fetch.message.max.bytes": _MAX_BYTES,
            "log_level": 0,
        }
    )
