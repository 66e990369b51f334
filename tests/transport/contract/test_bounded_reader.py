"""Reading what is there now, and no more: whatever stands at the end of a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from transport.bounded_reader import BoundedReader
from transport.deletion import delete_before
from transport.errors import BrokerUnavailableError, DeletionError

from ..testbed import wait_until

if TYPE_CHECKING:
    from ..testbed import Testbed


def values(testbed: Testbed, topic: str, partitions: tuple[int, ...] = (0,), **others: object) -> list[bytes | None]:
    with BoundedReader(testbed.cluster, topic, partitions, **others) as reader:  # type: ignore[arg-type]
        return [message.value for message in reader]


def test_all_there_is_is_read_once_and_then_it_ends(testbed: Testbed) -> None:
    topic = testbed.new_topic(3)
    testbed.publish(topic, b"1", b"2", None, partition=0)
    testbed.publish(topic, b"4", partition=2)

    assert [one for one in values(testbed, topic, (0, 1, 2)) if one != b"4"] == [b"1", b"2", None]
    assert sorted(map(str, values(testbed, topic, (0, 1, 2)))) == sorted(map(str, [b"1", b"2", None, b"4"]))


def test_what_is_written_meanwhile_is_left_for_the_next_reader(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"before")
    with BoundedReader(testbed.cluster, topic, [0]) as reader:
        testbed.publish(topic, b"meanwhile")
        read = [message.value for message in reader]

    assert (read, reader.ends) == ([b"before"], {0: 1})


def test_a_start_before_the_end_is_kept_and_one_at_or_past_it_reads_nothing(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"0", b"1", b"2")

    assert values(testbed, topic, starts={0: 1}) == [b"1", b"2"]
    assert values(testbed, topic, starts={0: 3}) == values(testbed, topic, starts={0: 99}) == []


def test_a_topic_that_does_not_exist_is_named(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.bounded_reader._ASK_SECONDS", 0.5)
    with pytest.raises(BrokerUnavailableError, match="no-such-topic, partition 0"):
        BoundedReader(testbed.cluster, "no-such-topic", [0])


def test_a_partition_whose_end_is_never_reached_is_given_up_in_time(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"v")
    with BoundedReader(testbed.cluster, topic, [0], silence_seconds=0.3) as reader:
        reader._consumer.unassign()  # as if no broker answered any more
        with pytest.raises(BrokerUnavailableError, match=r"nothing for 0\.3 s"):
            list(reader)


# --- on a real Kafka only ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
def test_a_transactions_marker_at_the_end_is_no_message_and_no_reason_to_wait(kafka: Testbed, end: str) -> None:
    topic = kafka.new_topic()
    kafka.publish(topic, b"before")
    producer = Producer({"bootstrap.servers": kafka.cluster.settings.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"within", partition=0)
    producer.flush(10)
    getattr(producer, end)(30)
    # The markers are written after the answer.
    assert wait_until(lambda: _end(kafka, topic) == 3)

    expected = [b"before", b"within"] if end == "commit_transaction" else [b"before"]
    assert values(kafka, topic) == expected
    with BoundedReader(kafka.cluster, topic, [0]) as reader:
        kafka.publish(topic, b"behind the marker, meanwhile")
        assert [message.value for message in reader] == expected


def _end(testbed: Testbed, topic: str) -> int:
    with BoundedReader(testbed.cluster, topic, [0]) as reader:
        return reader.ends[0]


def test_a_beginning_that_was_deleted_is_not_read_and_said_to_be_gone(kafka: Testbed) -> None:
    topic = kafka.new_topic()
    kafka.publish(topic, b"0", b"1", b"2")
    delete_before(kafka.cluster, topic, {0: 2})

    with BoundedReader(kafka.cluster, topic, [0], starts={0: 1}) as reader:
        assert reader.firsts == {0: 2}
        assert [message.value for message in reader] == [b"2"]
    delete_before(kafka.cluster, topic, {0: 3})
    assert values(kafka, topic) == []


def test_deleting_past_the_end_is_refused(kafka: Testbed) -> None:
    topic = kafka.new_topic()
    with pytest.raises(DeletionError, match=f"{topic}, partition 0"):
        delete_before(kafka.cluster, topic, {0: 5})
