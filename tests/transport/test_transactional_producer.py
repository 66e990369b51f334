"""`transport/transactional_producer.py`: messages and offsets together or not at all, on a real Kafka."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from tests.exactly_once import has_open_transaction, open_transaction, read_committed
from transport.cluster import Cluster
from transport.consumer import Progress
from transport.errors import BrokerUnavailableError, FatalTransportError, SettingsError
from transport.messages import Outgoing
from transport.producer import FailureKind
from transport.profiles import EMBEDDED, KAFKA
from transport.settings import KafkaSettings
from transport.transactional_producer import Aborted, TransactionalProducer, Verdict, verdict_of

from .testbed import BOUND_SECONDS, Member, Testbed, members, read, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transport.consumer import Membership

GROUP = "readers"


def a_producer(cluster: Cluster, member: str = "", timeout_seconds: float = 10) -> TransactionalProducer:
    return TransactionalProducer(
        cluster,
        "test-",
        member or uuid.uuid4().hex,
        "test",
        linger_ms=0,
        compression="none",
        timeout_seconds=timeout_seconds,
    )


def up_to(offset: int) -> dict[int, Progress]:
    return {0: Progress(offset, f"up to {offset}")}


def started(cluster: Cluster, member: str = "") -> TransactionalProducer:
    producer = a_producer(cluster, member)
    assert producer.start(threading.Event())
    return producer


def with_options(kafka: Testbed, options: dict[str, str]) -> Cluster:
    settings = kafka.cluster.settings
    more = {name: SecretStr(value) for name, value in options.items()}
    return kafka.with_settings(settings.model_copy(update={"options": settings.options | more})).cluster


class Bench:
    """A request topic with a member of its group, a topic for answers, and a producer."""

    def __init__(self, kafka: Testbed, member: Member, requests: str, group: str) -> None:
        self.kafka = kafka
        self.member = member
        self.requests = requests
        self.group = group
        self.answers = kafka.new_topic(2)
        self.producer = started(kafka.cluster)

    @property
    def membership(self) -> Membership:
        found = self.member.consumer.membership()
        assert found is not None
        return found

    def message(self, value: bytes, *, topic: str = "", partition: int | None = None) -> Outgoing:
        return Outgoing(topic or self.answers, partition, b"key", value, [("status", b"ok")])

    def transact(self, *messages: Outgoing, offset: int, membership: Membership | None = None) -> Aborted | None:
        return self.producer.transact(messages, up_to(offset), membership or self.membership)

    def visible(self) -> list[bytes | None]:
        until = time.monotonic() + BOUND_SECONDS
        found = read_committed(self.kafka.cluster.settings.bootstrap, [self.answers], until)
        return sorted((message.value for message in found), key=lambda value: value or b"")

    def committed(self) -> int:
        """Next offset of the request topic's one partition, as a new member is told it, with what stands beside."""
        with members(self.kafka.cluster, self.requests, self.group) as [other]:
            stored = other.consumer.progress([0])
        assert stored is not None
        assert stored == up_to(stored[0].next_offset)
        return stored[0].next_offset


@pytest.fixture(scope="module")
def bench(kafka: Testbed) -> Iterator[Bench]:
    requests, group = kafka.new_topic(), f"{GROUP}-{uuid.uuid4().hex}"
    kafka.publish(requests, b"a", b"b", b"c")
    with members(kafka.cluster, requests, group) as [member]:
        member.read(3)
        yield Bench(kafka, member, requests, group)


def test_messages_and_offsets_are_committed_together(bench: Bench) -> None:
    before = bench.visible()
    assert bench.transact(bench.message(b"together-1"), bench.message(b"together-2"), offset=1) is None

    assert set(bench.visible()) - set(before) == {b"together-1", b"together-2"}
    assert bench.committed() == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"value": bytes(3 * 1024 * 1024)}, FailureKind.TOO_LARGE),
        ({"value": b"v", "topic": "nowhere"}, FailureKind.UNKNOWN),
        ({"value": b"v", "partition": 77}, FailureKind.UNKNOWN),
    ],
    ids=["too large for its topic", "no such topic", "no such partition"],
)
def test_a_message_that_cannot_be_published_aborts_all_and_is_named(
    bench: Bench, fault: dict[str, Any], kind: FailureKind
) -> None:
    bench.transact(offset=1)
    before = bench.visible()

    aborted = bench.transact(bench.message(b"neighbour"), bench.message(**fault), offset=2)

    assert aborted is not None
    assert {place: failure.kind for place, failure in aborted.faults.items()} == {1: kind}
    assert bench.visible() == before
    assert bench.committed() == 1

    # Without it one takes place. The first may meet the hole that the message left in the producer's sequence.
    outcomes = [bench.transact(bench.message(b"again"), offset=2) for _ in range(2)]
    assert outcomes[-1] is None
    assert bench.committed() == 2


class _Slowly(list[Outgoing]):
    """Messages of which the last takes a while to come."""

    def __init__(self, messages: list[Outgoing], seconds: float) -> None:
        super().__init__(messages)
        self._seconds = seconds

    def __iter__(self) -> Iterator[Outgoing]:
        yield from self[:-1]
        time.sleep(self._seconds)
        yield self[-1]


def test_an_abort_while_the_transaction_before_still_ends_is_survived(kafka: Testbed, bench: Bench) -> None:
    # For some milliseconds the broker refuses the partitions of the second. Of nine runs without the wait before an
    # abort each ended at one of the first turns on an idle machine, at a later one on a busy one.
    topic = kafka.new_topic(24)
    many = [bench.message(bytes(1000), topic=topic, partition=number % 24) for number in range(300)]
    at_fault = bench.message(b"v", topic=topic, partition=77)

    for turn in range(40):
        assert bench.transact(*many, offset=1) is None
        aborted = bench.producer.transact(
            _Slowly([*many[:24], at_fault], 0.0005 * 1.1**turn), up_to(1), bench.membership
        )

        assert aborted is not None
        assert list(aborted.faults) == [24]


def test_offsets_of_an_earlier_generation_abort_and_blame_no_message(kafka: Testbed) -> None:
    requests, group = kafka.new_topic(2), f"{GROUP}-{uuid.uuid4().hex}"
    kafka.publish(requests, b"a")
    with members(kafka.cluster, requests, group) as [member]:
        member.read(1)
        bench = Bench(kafka, member, requests, group)
        stale = bench.membership
        with members(kafka.cluster, requests, group) as [other]:
            assert wait_until(lambda: bool(member.poll() + other.poll()) or bool(other.held and member.held))
            aborted = bench.transact(bench.message(b"zombie"), offset=1, membership=stale)
            assert aborted is not None
            assert "ILLEGAL_GENERATION" in aborted.reason
            assert aborted.faults == {}
            assert bench.visible() == []


def test_who_is_no_member_has_no_membership(kafka: Testbed) -> None:
    # The broker takes offsets that name no member from anybody, whoever holds the partitions.
    with members(kafka.cluster, kafka.new_topic(), f"{GROUP}-{uuid.uuid4().hex}") as [member]:
        assert member.consumer.membership() is None
        assert wait_until(lambda: bool(member.poll() or member.held))
        assert member.consumer.membership() is not None


@pytest.mark.parametrize(
    "options",
    # With room for one message, the second waits until the first one's failure is told.
    [{}, {"queue.buffering.max.messages": "1"}],
    ids=["at the commit", "while it publishes"],
)
def test_who_takes_over_the_id_fences_and_what_was_under_way_is_seen_by_nobody(
    bench: Bench, options: dict[str, str]
) -> None:
    member = uuid.uuid4().hex
    before, fenced, after = (bench.message(f"{when} {member}".encode()) for when in ("before", "fenced", "after"))
    first = started(with_options(bench.kafka, options), member)
    assert first.transact([before], up_to(3), bench.membership) is None
    second = started(bench.kafka.cluster, member)

    with pytest.raises(FatalTransportError, match=f"test-{member} was fenced"):
        first.transact([fenced, fenced], up_to(3), bench.membership)

    assert second.transact([after], up_to(3), bench.membership) is None
    assert [value for value in bench.visible() if member in str(value)] == [after.value, before.value]


def test_replies_are_read_although_a_transaction_before_them_is_open(kafka: Testbed) -> None:
    topic, bootstrap = kafka.new_topic(), kafka.cluster.settings.bootstrap
    with kafka.reader(topic) as reader, open_transaction(bootstrap, topic):
        kafka.publish(topic, b"a reply")

        assert has_open_transaction(bootstrap, topic)
        assert b"a reply" in [message.value for message in read(reader, 2)]


# --- the start --------------------------------------------------------------------------------------------


def test_hollow_transactions_are_refused(embedded: Testbed) -> None:
    with pytest.raises(SettingsError, match="the embedded broker's transactions are hollow"):
        a_producer(embedded.cluster)


def test_settings_that_undo_transactions_are_refused() -> None:
    options = {"isolation.level": SecretStr("read_uncommitted")}
    with pytest.raises(SettingsError, match=r"isolation\.level=read_committed: leave that"):
        a_producer(Cluster(KafkaSettings(options=options), KAFKA))
    assert not EMBEDDED.has_transactions


def test_a_timeout_beyond_the_brokers_is_refused_naming_the_setting(kafka: Testbed) -> None:
    producer = a_producer(kafka.cluster, timeout_seconds=3600)
    with pytest.raises(SettingsError, match="transaction_timeout_seconds is more than the brokers'"):
        producer.start(threading.Event())


def test_a_cluster_without_coordinator_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_START_SECONDS", "_START_STEP_SECONDS"):
        monkeypatch.setattr(f"transport.transactional_producer.{name}", 0.1)
    producer = a_producer(Cluster(KafkaSettings(bootstrap="127.0.0.1:1"), KAFKA))
    with pytest.raises(BrokerUnavailableError, match=r"transaction\.state\.log\.replication\.factor"):
        producer.start(threading.Event())


def test_a_start_ends_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    assert not a_producer(Cluster(KafkaSettings(bootstrap="127.0.0.1:1"), KAFKA)).start(stop)


# --- verdicts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (KafkaError(KafkaError._TIMED_OUT, "", False, True), Verdict.AGAIN),
        (KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "", False, True), Verdict.AGAIN),
        (KafkaError(KafkaError.ILLEGAL_GENERATION, "", False, False, True), Verdict.ABORT),
        (KafkaError(KafkaError._TIMED_OUT, "", False, True, True), Verdict.ABORT),
        (KafkaError(KafkaError._FENCED, "", True), Verdict.FATAL),
        (KafkaError(KafkaError._STATE, ""), Verdict.FATAL),
    ],
    ids=lambda value: value.name if isinstance(value, Verdict) else value.name(),
)
def test_every_error_of_a_transaction_has_a_verdict(error: KafkaError, verdict: Verdict) -> None:
    assert verdict_of(error) is verdict
