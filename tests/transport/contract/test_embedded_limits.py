"""Where the embedded broker falls short of Kafka, and that each shortfall is seen rather than suffered."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from schemas.topics import MEBIBYTE, TopicNames
from transport.offsets import OffsetTracker
from transport.producer import FailureKind

from ..testbed import BOUND_SECONDS, members, read

if TYPE_CHECKING:
    from transport.embedded import EmbeddedBroker

    from ..testbed import Testbed

_KEPT_MEBIBYTES = 5
"""Of each partition. Source: librdkafka's rdkafka_mock.c."""

_ECHO = """
import sys
from transport.cluster import Cluster
from transport.producer import DeliveringProducer
from transport.reader import PartitionReader
from transport.settings import KafkaSettings

bootstrap, topic = sys.argv[1:]
cluster = Cluster.probe(KafkaSettings(bootstrap=bootstrap))
(message,) = PartitionReader(cluster, topic, [0], back=1).poll(1, 10)
producer = DeliveringProducer(cluster, "other-process", linger_ms=0)
producer.produce(topic, key=None, value=message.value[::-1], partition=1, on_delivery=lambda failure: None)
sys.exit(producer.close(10))
"""


def test_data_topics_have_64_partitions_and_the_beats_one(embedded_broker: EmbeddedBroker, embedded: Testbed) -> None:
    names = TopicNames(f"table-{uuid.uuid4().hex}", "some-model")
    embedded_broker.create_topics(names)

    found = embedded.cluster.topics()

    assert {name: found[name] for name in names.all()} == {
        name: 1 if name == names.workers else 64 for name in names.all()
    }


def test_every_one_of_64_partitions_takes_and_gives_a_message(embedded: Testbed) -> None:
    topic = embedded.new_topic(64)
    with embedded.producer() as publisher, embedded.reader(topic, range(64)) as reader:
        for partition in range(64):
            publisher.send(topic, value=b"%d" % partition, partition=partition)
        assert publisher.outcomes() == [None] * 64

        assert {(m.partition, m.value) for m in read(reader, 64)} == {(n, b"%d" % n) for n in range(64)}


def test_another_process_reads_and_writes(embedded: Testbed) -> None:
    topic = embedded.new_topic(2)
    embedded.publish(topic, b"hello")

    bootstrap = embedded.cluster.settings.bootstrap
    done = subprocess.run([sys.executable, "-c", _ECHO, bootstrap, topic], timeout=60, check=False)

    assert done.returncode == 0
    assert [message.value for message in embedded.read_all(topic, 1, [1])] == [b"olleh"]


def test_a_message_over_a_mebibyte_which_the_broker_would_drop_in_silence_is_refused(embedded: Testbed) -> None:
    topic = embedded.new_topic()
    with embedded.producer() as publisher:
        publisher.send(topic, value=b"x" * (MEBIBYTE + 1))
        publisher.send(topic, value=b"x" * (6 * MEBIBYTE))
        outcomes = publisher.outcomes()

    assert [failure and failure.kind for failure in outcomes] == [FailureKind.TOO_LARGE] * 2


@pytest.mark.slow
def test_what_retention_dropped_is_seen_as_a_gap_by_reader_and_tracker(embedded: Testbed) -> None:
    topic, sent = embedded.new_topic(), 12
    value = b"x" * (MEBIBYTE - 1024)
    tracker = OffsetTracker()
    with (
        embedded.reader(topic) as reader,
        members(embedded.cluster, topic, f"{topic}.group") as (member,),
    ):
        embedded.publish(topic, b"first")
        assert [reader.skipped(message) for message in read(reader, 1)] == [0]
        (first,) = member.read(1)
        tracker.assign([0])
        tracker.submit(0, first.offset)
        assert member.commit()
        member.consumer.pause([0])
        embedded.publish(topic, *[value] * sent)
        lost = member.consumer.lost_to_retention(member.consumer.progress([0]))[0]
        member.consumer.resume([0])
        rest = member.read(1 + sent - lost)[1:]
        gaps = [tracker.submit(0, message.offset)[1] for message in rest]

    assert sent - _KEPT_MEBIBYTES - 1 <= lost <= sent - _KEPT_MEBIBYTES + 1
    assert sum(gaps) == lost
    assert gaps[0] == lost


@pytest.mark.slow
def test_a_reader_that_falls_behind_retention_tells_how_many_messages_it_skipped(embedded: Testbed) -> None:
    topic, sent = embedded.new_topic(), 40
    value = b"x" * (MEBIBYTE - 1024)
    with embedded.reader(topic) as reader:
        # More than the 16 MiB the reader fetches ahead and the 5 MiB the broker keeps.
        embedded.publish(topic, *[value] * sent)
        arrived: list[int] = []
        skipped = 0
        while not arrived or arrived[-1] < sent - 1:
            messages = reader.poll(1000, BOUND_SECONDS)
            assert messages, f"nothing after {arrived}"
            arrived += [message.offset for message in messages]
            skipped += sum(map(reader.skipped, messages))

    assert skipped == sent - len(arrived)
    assert skipped > 0
