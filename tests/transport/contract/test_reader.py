"""Reading whole partitions from an end that is fixed before the first message can be missed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from transport.errors import BrokerUnavailableError
from transport.reader import PartitionReader

from ..testbed import read

if TYPE_CHECKING:
    from transport.messages import Message

    from ..testbed import Testbed


def test_a_reader_at_the_end_sees_every_message_sent_right_after_it_stands(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"before")
    with testbed.producer() as publisher:
        seen = 0
        for number in range(20):
            with testbed.reader(topic) as reader:
                publisher.send(topic, value=b"%d" % number)
                seen += [message.value for message in read(reader, 1)] == [b"%d" % number]

    assert seen == 20


def test_a_reader_starts_as_many_messages_back_as_it_is_told_but_no_further_than_there_are(testbed: Testbed) -> None:
    topic = testbed.new_topic(2)
    testbed.publish(topic, *(b"%d" % number for number in range(10)), partition=0)
    testbed.publish(topic, b"only", partition=1)

    with testbed.reader(topic, [0, 1], back=3) as reader:
        arrived = read(reader, 4)

    values = sorted((message.partition, message.value) for message in arrived)
    assert values == [(0, b"7"), (0, b"8"), (0, b"9"), (1, b"only")]


def test_an_empty_partition_is_read_from_its_first_message(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    with testbed.reader(topic, back=100) as reader:
        testbed.publish(topic, b"first")

        assert [message.offset for message in read(reader, 1)] == [0]


def test_a_poll_takes_no_more_messages_than_asked_for(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, *(b"%d" % number for number in range(5)))
    polls: list[list[Message]] = []
    with testbed.reader(topic, back=5) as reader:
        deadline = time.monotonic() + 10
        while sum(map(len, polls)) < 5 and time.monotonic() < deadline:
            polls.append(reader.poll(1, 0.1))

    assert max(map(len, polls)) == 1
    assert [message.value for poll in polls for message in poll] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_poll_returns_with_the_first_message_rather_than_at_the_end_of_its_time(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    with testbed.reader(topic) as reader, testbed.producer() as publisher:
        publisher.send(topic, value=b"v")
        started = time.monotonic()
        messages = reader.poll(1000, 15.0)
        took_seconds = time.monotonic() - started

    assert [message.value for message in messages] == [b"v"]
    assert took_seconds < 5


def test_contiguous_messages_skip_nothing(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    with testbed.reader(topic) as reader:
        testbed.publish(topic, b"1", b"2", b"3")

        assert [reader.skipped(message) for message in read(reader, 3)] == [0, 0, 0]


def test_a_topic_that_does_not_exist_is_named(testbed: Testbed) -> None:
    with pytest.raises(BrokerUnavailableError, match="no-such-topic, partition 0"):
        PartitionReader(testbed.cluster, "no-such-topic", [0], timeout_seconds=0.5)
