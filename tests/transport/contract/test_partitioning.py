"""Which partition a message goes to, and what becomes of one whose partition does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transport.producer import FailureKind

from ..testbed import read

if TYPE_CHECKING:
    from ..testbed import Testbed

_PARTITIONS = 24


def _murmur2(key: bytes) -> int:
    """Java's hash of a key. Source: org.apache.kafka.common.utils.Utils.murmur2, in unsigned 32-bit arithmetic."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    state = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        state = (state * factor & mask) ^ word
    if key[whole:]:
        state = (state ^ int.from_bytes(key[whole:], "little")) * factor & mask
    state = (state ^ state >> 13) * factor & mask
    return state ^ state >> 15


def _java_partition(key: bytes, partitions: int) -> int:
    """Source: Kafka's BuiltInPartitioner.partitionForKey."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def test_the_reference_hash_gives_what_kafka_tests_expect_of_its_own() -> None:
    # Source: UtilsTest.testMurmur2 of Apache Kafka, its signed numbers as unsigned ones.
    expected = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}

    assert {key: _murmur2(key) for key in expected} == {key: hashed & 0xFFFFFFFF for key, hashed in expected.items()}


def test_a_key_goes_to_the_partition_java_would_choose(testbed: Testbed) -> None:
    topic = testbed.new_topic(_PARTITIONS)
    keys = [b"", b"a", b"document-1", b"\xff\xfe", "schlüssel".encode(), *(b"key-%d" % n for n in range(100))]
    with testbed.producer() as publisher, testbed.reader(topic, range(_PARTITIONS)) as reader:
        for key in keys:
            publisher.send(topic, key=key, value=b"v", partition=None)
        publisher.outcomes()
        arrived = {message.key: message.partition for message in read(reader, len(keys))}

    assert arrived == {key: _java_partition(key, _PARTITIONS) for key in keys}


def test_messages_of_one_key_share_a_partition_and_keep_their_order(testbed: Testbed) -> None:
    topic = testbed.new_topic(_PARTITIONS)
    keys = [b"one", b"two", b"three"]
    with testbed.producer() as publisher, testbed.reader(topic, range(_PARTITIONS)) as reader:
        for number in range(60):
            publisher.send(topic, key=keys[number % 3], value=b"%d" % number, partition=None)
        publisher.outcomes()
        arrived = read(reader, 60)

    for number, key in enumerate(keys):
        own = [message for message in arrived if message.key == key]
        assert len({message.partition for message in own}) == 1
        assert [int(message.value or b"") for message in own] == list(range(number, 60, 3))


def test_messages_without_a_key_are_spread(testbed: Testbed) -> None:
    topic = testbed.new_topic(4)
    with testbed.producer() as publisher, testbed.reader(topic, range(4)) as reader:
        for _ in range(200):
            publisher.send(topic, value=b"v", partition=None)
        publisher.outcomes()
        arrived = read(reader, 200)

    assert {message.partition for message in arrived} == {0, 1, 2, 3}


def test_a_partition_that_does_not_exist_fails_through_the_callback_and_the_producer_goes_on(
    testbed: Testbed,
) -> None:
    topic = testbed.new_topic(2)
    with testbed.producer() as publisher:
        # The first waits for the topic to be looked up; by the second it is known, and librdkafka raises at once.
        publisher.send(topic, value=b"v", partition=99)
        publisher.outcomes()
        publisher.send(topic, value=b"v", partition=99)
        publisher.send(topic, value=b"good", partition=1)
        first, second, good = publisher.outcomes()

    assert first is not None
    assert second is not None
    assert {first.kind, second.kind} == {FailureKind.UNKNOWN}
    assert good is None
    assert [message.value for message in testbed.read_all(topic, 1, [1])] == [b"good"]
