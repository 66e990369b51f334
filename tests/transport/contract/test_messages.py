"""What is sent arrives as it was sent: values, keys, headers, at every edge of their sizes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.topics import MEBIBYTE
from transport.producer import FailureKind

from ..testbed import read

if TYPE_CHECKING:
    from schemas.headers import Header

    from ..testbed import Testbed

# librdkafka counts up to 36 bytes of framing with a message that has neither key nor headers.
_FRAMING_BYTES = 36


def test_a_message_arrives_with_where_and_when_it_was_written(testbed: Testbed) -> None:
    topic = testbed.new_topic(3)
    before_ms = time.time() * 1000
    testbed.publish(topic, b"first", b"second", partition=2)

    first, second = testbed.read_all(topic, 2, [2])

    assert (first.topic, first.partition, first.offset, first.value) == (topic, 2, 0, b"first")
    assert (second.offset, second.value) == (1, b"second")
    assert before_ms - 1000 <= first.timestamp_ms <= time.time() * 1000 + 1000


@pytest.mark.parametrize(
    "value",
    [b"", None, b"x", b"\x00\xff", "ü".encode()],
    ids=["empty", "tombstone", "one-byte", "not-utf-8", "text"],
)
def test_a_value_arrives_as_it_was_sent(testbed: Testbed, value: bytes | None) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, value)

    assert [message.value for message in testbed.read_all(topic, 1)] == [value]


@pytest.mark.parametrize("key", [None, b"", b"k", b"\xff\xfe\x00"], ids=["none", "empty", "text", "not-utf-8"])
def test_a_key_arrives_as_it_was_sent(testbed: Testbed, key: bytes | None) -> None:
    topic = testbed.new_topic()
    with testbed.producer() as publisher:
        publisher.send(topic, key=key, value=b"v")
        assert publisher.outcomes() == [None]

    assert [message.key for message in testbed.read_all(topic, 1)] == [key]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("h", b"\x00\xff"),),
        (("h", None),),
        (("h", b""),),
        (("b", b"1"), ("a", b"2"), ("c", b"3")),
        (("twice", b"1"), ("other", None), ("twice", b"2")),
        (("ключ", "значение".encode()),),
        (("long", b"x" * 100_000),),
    ],
    ids=["none", "bytes", "null", "empty", "order", "doubled", "not-ascii", "long"],
)
def test_headers_arrive_as_they_were_sent_in_their_order(testbed: Testbed, headers: tuple[Header, ...]) -> None:
    topic = testbed.new_topic()
    with testbed.producer() as publisher:
        publisher.send(topic, value=b"v", headers=headers)
        assert publisher.outcomes() == [None]

    assert [message.headers for message in testbed.read_all(topic, 1)] == [headers]


def test_the_largest_message_arrives_and_one_byte_more_is_refused_through_the_callback(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    limit = testbed.cluster.profile.max_message_bytes
    # Kafka's own limit of this topic is 2 MiB, and its framing differs by a few bytes.
    largest = limit - _FRAMING_BYTES if limit is not None else 2 * MEBIBYTE - 128
    over = largest + 1 if limit is not None else 2 * MEBIBYTE + 1
    with testbed.producer() as publisher, testbed.reader(topic) as reader:
        publisher.send(topic, value=b"x" * largest)
        assert publisher.outcomes() == [None]
        publisher.send(topic, value=b"x" * over)
        refused = publisher.outcomes()[1]
        publisher.send(topic, value=b"after")
        assert publisher.outcomes()[2] is None

        arrived = [message.value for message in read(reader, 2)]

    assert refused is not None
    assert refused.kind is FailureKind.TOO_LARGE
    assert arrived == [b"x" * largest, b"after"]


def test_small_messages_sent_around_one_that_is_too_large_arrive(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    with testbed.producer(linger_ms=200) as publisher:
        for value in (b"before", b"x" * (3 * MEBIBYTE), b"after"):
            publisher.send(topic, value=value)
        outcomes = publisher.outcomes()

    assert sorted(failure.kind.name for failure in outcomes if failure is not None) == ["TOO_LARGE"]
    assert [message.value for message in testbed.read_all(topic, 2)] == [b"before", b"after"]


def test_every_message_of_many_is_told_once_and_arrives_in_the_order_of_its_partition(testbed: Testbed) -> None:
    topic = testbed.new_topic(3)
    with testbed.producer(linger_ms=5) as publisher, testbed.reader(topic, [0, 1, 2]) as reader:
        for number in range(3000):
            publisher.send(topic, value=str(number).encode(), partition=number % 3)
        outcomes = publisher.outcomes()
        arrived = read(reader, 3000)

    assert outcomes == [None] * 3000
    for partition in range(3):
        values = [int(message.value or b"") for message in arrived if message.partition == partition]
        assert values == list(range(partition, 3000, 3))
