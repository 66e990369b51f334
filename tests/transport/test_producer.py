"""Every message ends in exactly one call of its callback, also when the broker goes away and comes back."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from transport.cluster import Cluster
from transport.errors import SettingsError
from transport.producer import DeliveringProducer, DeliveryFailure, FailureKind, failure_of
from transport.profiles import EMBEDDED, KAFKA
from transport.settings import KafkaSettings

from .port import Port
from .testbed import Publisher, Testbed, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transport.embedded import EmbeddedBroker

    from ..kafka_broker import KafkaBroker

_MOCK_BROKER_ID = 1


@pytest.fixture
def nowhere() -> Iterator[Cluster]:
    """A cluster that has answered once and is gone since."""
    with Port() as port:
        yield Cluster(KafkaSettings(bootstrap=port.address), KAFKA)


def test_callbacks_come_on_the_producers_own_thread_without_anybody_polling(embedded: Testbed) -> None:
    topic, threads = embedded.new_topic(), []
    producer = DeliveringProducer(embedded.cluster, "own-thread", linger_ms=0)
    producer.produce(
        topic, key=None, value=b"v", on_delivery=lambda _: threads.append(threading.current_thread().name)
    )

    assert wait_until(lambda: bool(threads))
    assert threads == ["delivery-own-thread"]
    assert producer.close() == 0


def test_flush_waits_for_what_is_under_way(embedded: Testbed) -> None:
    topic, told = embedded.new_topic(), list[DeliveryFailure | None]()
    producer = DeliveringProducer(embedded.cluster, "flush", linger_ms=5000)
    for number in range(10):
        producer.produce(topic, key=None, value=b"%d" % number, on_delivery=told.append)
    assert told == []

    assert producer.flush(10) == 0
    assert wait_until(lambda: told == [None] * 10)
    assert producer.close() == 0


def test_a_closed_producer_refuses_further_messages(embedded: Testbed) -> None:
    producer = DeliveringProducer(embedded.cluster, "closed", linger_ms=0)
    assert producer.close() == 0

    with pytest.raises(RuntimeError, match="the producer is closed"):
        producer.produce(embedded.new_topic(), key=None, value=b"v", on_delivery=lambda _: None)


def test_closing_while_the_broker_is_away_tells_how_many_messages_are_dropped(nowhere: Cluster) -> None:
    told: list[DeliveryFailure | None] = []
    producer = DeliveringProducer(nowhere, "dropping", linger_ms=0)
    for _ in range(3):
        producer.produce("some-topic", key=None, value=b"v", on_delivery=told.append)

    assert producer.close(0.2) == 3
    assert told == []


def test_a_message_not_delivered_in_the_time_given_fails_once_as_transient(nowhere: Cluster) -> None:
    told: list[DeliveryFailure | None] = []
    producer = DeliveringProducer(nowhere, "bounded", linger_ms=0, delivery_timeout_seconds=0.3)
    producer.produce("some-topic", key=None, value=b"v", on_delivery=told.append)

    assert wait_until(lambda: bool(told))
    assert producer.close() == 0
    assert [failure and failure.kind for failure in told] == [FailureKind.TRANSIENT]


@pytest.mark.slow
def test_a_full_buffer_holds_the_caller_until_there_is_room(nowhere: Cluster) -> None:
    told: list[DeliveryFailure | None] = []
    producer = DeliveringProducer(nowhere, "full", linger_ms=0, delivery_timeout_seconds=0.5, buffered_bytes=1)
    # The least librdkafka buffers is 1 MiB, so the third waits until the first two have failed.
    for _ in range(3):
        producer.produce("some-topic", key=None, value=b"x" * 500_000, on_delivery=told.append)
        held_until = len(told)

    assert held_until == 2
    assert wait_until(lambda: len(told) == 3)
    assert producer.close() == 0


def test_a_caller_held_by_a_full_buffer_is_let_go_when_the_producer_closes(nowhere: Cluster) -> None:
    refused: list[str] = []
    producer = DeliveringProducer(nowhere, "held", linger_ms=0, buffered_bytes=1)
    producer.produce("some-topic", key=None, value=b"x" * 900_000, on_delivery=lambda _: None)

    def produce() -> None:
        with pytest.raises(RuntimeError) as closed:
            producer.produce("some-topic", key=None, value=b"x" * 900_000, on_delivery=lambda _: None)
        refused.append(str(closed.value))

    held = threading.Thread(target=produce)
    held.start()
    assert producer.close(0.1) == 1
    held.join(5)

    assert refused == ["the producer is closed"]


@pytest.mark.parametrize(("option", "value"), [("acks", "1"), ("on_delivery", "say")])
def test_settings_librdkafka_refuses_are_named(option: str, value: str) -> None:
    settings = KafkaSettings.model_validate({"options": {option: value}})

    with pytest.raises(SettingsError, match=rf"librdkafka refuses the settings: .*{option}") as refused:
        DeliveringProducer(Cluster(settings, KAFKA), "acks", linger_ms=0)

    assert refused.value.__cause__ is not None


@pytest.mark.slow
def test_messages_sent_while_the_embedded_broker_is_down_are_delivered_when_it_is_back(
    embedded_broker: EmbeddedBroker, embedded: Testbed
) -> None:
    topic = embedded.new_topic()
    with embedded.producer(linger_ms=1) as publisher:
        publisher.send(topic, value=b"0")
        assert publisher.outcomes() == [None]
        _set_up(embedded_broker, up=False)
        try:
            for number in range(1, 200):
                publisher.send(topic, value=b"%d" % number)
            assert publisher.producer.flush(0.3) > 0
        finally:
            _set_up(embedded_broker, up=True)

        assert publisher.outcomes() == [None] * 200
    assert [message.value for message in embedded.read_all(topic, 200)] == [b"%d" % number for number in range(200)]


@pytest.mark.slow
def test_messages_under_way_at_kill_9_of_kafka_are_delivered_once_it_is_back(kafka_broker: KafkaBroker) -> None:
    kafka = Testbed.on_kafka(KafkaSettings(bootstrap=kafka_broker.bootstrap))
    topic, count = kafka.new_topic(), 5000
    producer = DeliveringProducer(kafka.cluster, "outlives", linger_ms=5)
    publisher = Publisher(producer)
    for number in range(count):
        publisher.send(topic, value=b"%d" % number)
        if number == count // 2:
            assert wait_until(lambda: bool(publisher.told))
            kafka_broker.kill()
    assert len(publisher.told) < count
    kafka_broker.restart()

    assert publisher.outcomes(within_seconds=60) == [None] * count
    assert producer.close() == 0
    assert [message.value for message in kafka.read_all(topic, count)] == [b"%d" % number for number in range(count)]


def _set_up(broker: EmbeddedBroker, *, up: bool) -> None:
    name = f"rd_kafka_mock_broker_set_{'up' if up else 'down'}"
    assert getattr(broker._library, name)(ctypes.c_void_p(broker._cluster), ctypes.c_int32(_MOCK_BROKER_ID)) == 0


# --- what must not pass quietly ---------------------------------------------------------------------------


def test_a_callback_that_fails_is_told_to_whoever_watches_the_producer(embedded: Testbed) -> None:
    failures: list[BaseException] = []

    def fails(_: DeliveryFailure | None) -> None:
        raise ArithmeticError("in a callback")

    producer = DeliveringProducer(embedded.cluster, "failing", linger_ms=0, on_failure=failures.append)
    producer.produce(embedded.new_topic(), key=None, value=b"v", on_delivery=fails)

    assert wait_until(lambda: bool(failures))
    assert [str(error) for error in failures] == ["in a callback"]
    producer.close(0.1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError(KafkaError._FATAL), FailureKind.FATAL),
        (KafkaError(KafkaError._MSG_TIMED_OUT), FailureKind.TRANSIENT),
        (KafkaError(KafkaError.INVALID_TIMESTAMP), FailureKind.REFUSED),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), FailureKind.REFUSED),
        (KafkaError(KafkaError._UNKNOWN_PARTITION), FailureKind.UNKNOWN),
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), FailureKind.TOO_LARGE),
    ],
    ids=lambda value: value.name if isinstance(value, FailureKind) else value.name(),
)
def test_a_failure_is_of_the_kind_that_says_what_can_be_done(error: KafkaError, kind: FailureKind) -> None:
    assert failure_of(error).kind is kind


def test_a_topic_name_no_broker_could_have_fails_through_the_callback(embedded: Testbed) -> None:
    told: list[DeliveryFailure | None] = []
    producer = DeliveringProducer(embedded.cluster, "nul", linger_ms=0)
    producer.produce("a\0b", key=None, value=b"v", on_delivery=told.append)

    assert [failure.kind for failure in told if failure] == [FailureKind.UNKNOWN]
    assert producer.failures == {FailureKind.UNKNOWN: 1}
    assert producer.close() == 0


def test_options_passed_through_win_but_not_over_what_keeps_messages_safe() -> None:
    given = {"linger.ms": "77", "message.max.bytes": "9000000"}
    options = {name: SecretStr(value) for name, value in given.items()}
    settings = KafkaSettings(bootstrap="127.0.0.1:1", options=options)

    on_kafka = Cluster(settings, KAFKA).producer_config("p")
    assert {name: on_kafka[name] for name in given} == given
    on_embedded = Cluster(settings, EMBEDDED).producer_config("p")
    assert (on_embedded["linger.ms"], on_embedded["message.max.bytes"]) == ("77", 1024 * 1024)
