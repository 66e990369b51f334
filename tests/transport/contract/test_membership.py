"""Members that fall silent and members that come back, on Kafka under both of its group protocols.

A member that does not poll in time loses its partitions without being asked, and what it still has under way counts
for nothing. A static member, under `classic` alone, leaves no gap when it is started again within its session.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from transport.cluster import Cluster
from transport.errors import SettingsError
from transport.offsets import OffsetTracker
from transport.profiles import KAFKA
from transport.settings import KafkaSettings

from ..testbed import Member, members, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transport.offsets import Submitted

    from ..testbed import Testbed

_PARTITIONS = 4


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.kafka) for name in ("classic", "consumer")],
)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _configured(kafka: Testbed, protocol: str, **options: str) -> Cluster:
    """The same broker under one protocol, with further options of librdkafka."""
    settings = kafka.cluster.settings.model_dump(mode="python") | {
        "group_protocol": protocol,
        "options": {name.replace("_", "."): value for name, value in options.items()},
    }
    return kafka.with_settings(KafkaSettings.model_validate(settings)).cluster


def _fill(kafka: Testbed, topic: str, count: int) -> None:
    for partition in range(_PARTITIONS):
        kafka.publish(topic, *(b"%d" % number for number in range(count)), partition=partition)


def _poll_until(condition: Callable[[], bool], *joined: Member) -> bool:
    def polled() -> bool:
        for member in joined:
            member.poll(0.02)
        return condition()

    return wait_until(polled)


def _told(member: Member, *calls: str) -> set[int]:
    """Partitions of which it was told that."""
    return {partition for call, partitions in member.calls if call in calls for partition in partitions}


def _submitted(tracker: OffsetTracker, member: Member) -> list[Submitted]:
    tracker.assign(member.held)
    return [tracker.submit(message.partition, message.offset)[0] for message in member.messages]


@pytest.mark.slow
def test_a_member_that_does_not_poll_in_time_loses_its_partitions_and_its_late_results_count_for_nothing(
    kafka: Testbed, protocol: str
) -> None:
    topic = kafka.new_topic(_PARTITIONS)
    _fill(kafka, topic, 5)
    slow = _configured(
        kafka, protocol, max_poll_interval_ms=str(int(kafka.cluster.settings.session_timeout_seconds * 1000))
    )
    prompt = _configured(kafka, protocol)
    tracker = OffsetTracker()
    with members(slow, topic, f"{topic}.group") as (silent,):
        silent.read(5 * _PARTITIONS)
        marks = _submitted(tracker, silent)
        held = set(silent.held)
        with members(prompt, topic, f"{topic}.group") as (successor,):
            # Nobody asks it to let go: it is not heard.
            assert _poll_until(lambda: len(successor.values) == 5 * _PARTITIONS, successor)
            assert successor.commit()
            assert _poll_until(lambda: _told(silent, "lost", "revoked") >= held, silent), silent.calls
            tracker.unassign(held)
            for mark in marks:
                tracker.acknowledge(mark)

            assert tracker.committable() == {}
            # Of some it was told that they move, before it was taken for dead; it had not listened.
            assert _told(silent, "lost"), silent.calls
    with members(prompt, topic, f"{topic}.group") as (after,):
        kafka.publish(topic, b"next", partition=0)
        assert [message.offset for message in after.read(1)] == [5]


# --- static membership ----------------------------------------------------------------------------------------


@contextmanager
def _two(kafka: Testbed, topic: str) -> Iterator[tuple[Cluster, list[Member]]]:
    """A static member `one` and another one, which share the partitions."""
    static = _configured(kafka, "classic", group_instance_id="one")
    other = _configured(kafka, "classic", group_instance_id="other")
    with members(static, topic, f"{topic}.group") as (one,), members(other, topic, f"{topic}.group") as (stays,):
        assert _poll_until(lambda: len(one.held) == len(stays.held) == 2, one, stays)
        yield static, [one, stays]


@pytest.mark.slow
def test_a_static_member_that_comes_back_within_its_session_moves_no_partition(kafka: Testbed) -> None:
    topic = kafka.new_topic(_PARTITIONS)
    with _two(kafka, topic) as (static, (one, stays)):
        held, seen = set(one.held), len(stays.calls)
        one.leave()
        # It has told of its partitions, for a last commit, and has not left: they are still its own.
        assert one.calls[-1] == ("revoked", tuple(sorted(held)))
        stays.poll(0.2)
        with members(static, topic, f"{topic}.group") as (again,):
            assert _poll_until(lambda: len(again.held) == 2, stays, again)
            assert again.held == held
            assert stays.calls[seen:] == []


def test_a_static_member_is_refused_under_the_protocol_that_would_end_it_for_good() -> None:
    given = {"group_protocol": "consumer", "options": {"group.instance.id": "one"}}
    cluster = Cluster(KafkaSettings.model_validate(given), KAFKA)

    with pytest.raises(SettingsError, match=r"group\.instance\.id works under group_protocol classic"):
        Member(cluster, "topic", "group")
