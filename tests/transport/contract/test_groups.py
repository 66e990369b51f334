"""Members of a group share the partitions, hand them over, and go on where the group has committed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from transport.consumer import Progress
from transport.offsets import OffsetTracker

from ..testbed import BOUND_SECONDS, POLL_SECONDS, Member, members, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..testbed import Testbed

_PARTITIONS = 4


def _fill(testbed: Testbed, topic: str, first: int, count: int) -> set[bytes]:
    """Publish numbered messages, spread over the partitions in turn; returns their values."""
    values = [b"%d" % number for number in range(first, first + count)]
    with testbed.producer() as publisher:
        for number, value in enumerate(values):
            publisher.send(topic, value=value, partition=number % _PARTITIONS)
        assert publisher.outcomes() == [None] * count
    return set(values)


def _poll_all(joined: Sequence[Member]) -> None:
    for member in joined:
        member.poll(POLL_SECONDS / len(joined))


def _settle(joined: Sequence[Member]) -> None:
    """Poll until the members hold every partition between them, each at least one."""

    def settled() -> bool:
        _poll_all(joined)
        held = [partition for member in joined for partition in member.held]
        return sorted(held) == list(range(_PARTITIONS)) and all(member.held for member in joined)

    assert wait_until(settled), [member.held for member in joined]


def _read_between(joined: Sequence[Member], wanted: set[bytes]) -> None:
    def complete() -> bool:
        _poll_all(joined)
        return wanted <= {value for member in joined for value in member.values if value is not None}

    assert wait_until(complete)


def test_a_new_group_starts_at_the_earliest_message(grouping: Testbed) -> None:
    topic = grouping.new_topic()
    grouping.publish(topic, b"1", b"2", b"3")

    with members(grouping.cluster, topic, f"{topic}.group") as (member,):
        member.read(3)

    assert member.values == [b"1", b"2", b"3"]
    assert member.calls[0] == ("assigned", (0,))


def test_a_group_goes_on_at_the_committed_offset_and_replays_what_was_not_committed(grouping: Testbed) -> None:
    topic = grouping.new_topic()
    grouping.publish(topic, *(b"%d" % number for number in range(10)))
    with members(grouping.cluster, topic, f"{topic}.group") as (first,):
        assert len(first.read(10)) == 10
        assert first.consumer.commit({0: 4})

    with members(grouping.cluster, topic, f"{topic}.group") as (second,):
        second.read(6)

    assert second.values == [b"%d" % number for number in range(4, 10)]


def test_what_stands_beside_a_commit_is_there_for_the_next_member_and_gone_with_the_next_commit(
    grouping: Testbed,
) -> None:
    topic = grouping.new_topic(2)
    grouping.publish(topic, b"1", b"2", b"3")
    with members(grouping.cluster, topic, f"{topic}.group") as (first,):
        first.read(3)
        assert first.consumer.progress([0, 1]) == {}
        assert first.consumer.commit({0: 0, 1: 0}, {0: '{"attempt":1}'})

    with members(grouping.cluster, topic, f"{topic}.group") as (second,):
        second.read(3)
        assert second.consumer.progress([0, 1]) == {0: Progress(0, '{"attempt":1}'), 1: Progress(0, "")}
        assert second.consumer.commit({0: 1})
        assert second.consumer.progress([0]) == {0: Progress(1, "")}


def test_a_member_goes_on_where_it_is_sent(grouping: Testbed) -> None:
    topic = grouping.new_topic()
    grouping.publish(topic, *(b"%d" % number for number in range(10)))
    with members(grouping.cluster, topic, f"{topic}.group") as (member,):
        member.read(10)
        member.consumer.seek(0, 7)
        assert wait_until(lambda: bool(member.poll()) and len(member.values) >= 13)

    assert member.values[10:] == [b"7", b"8", b"9"]


def test_groups_read_the_same_topic_each_for_itself(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"1", b"2")
    with members(testbed.cluster, topic, f"{topic}.one") as (one,):
        one.read(2)
        assert one.commit()

    with members(testbed.cluster, topic, f"{topic}.other") as (other,):
        other.read(2)

    assert other.values == [b"1", b"2"]


@pytest.mark.slow
def test_two_members_share_the_partitions_and_read_every_message_once(grouping: Testbed) -> None:
    topic = grouping.new_topic(_PARTITIONS)
    with members(grouping.cluster, topic, f"{topic}.group", 2) as joined:
        _settle(joined)
        values = _fill(grouping, topic, 0, 200)
        _read_between(joined, values)

    assert Counter(value for member in joined for value in member.values) == Counter(values)
    assert all(len(member.values) >= 50 for member in joined)


@pytest.mark.slow
def test_partitions_of_a_member_that_leaves_move_and_nothing_is_lost_or_repeated(grouping: Testbed) -> None:
    topic = grouping.new_topic(_PARTITIONS)
    with members(grouping.cluster, topic, f"{topic}.group", 2, commits_in_revoked=True) as (leaver, stays):
        _settle([leaver, stays])
        values = _fill(grouping, topic, 0, 100)
        _read_between([leaver, stays], values)
        held_before = tuple(sorted(leaver.held))
        leaver.leave()
        _settle([stays])
        values |= _fill(grouping, topic, 100, 100)
        _read_between([leaver, stays] if leaver.held else [stays], values - set(leaver.values))
        read_by_both = Counter([*leaver.values, *stays.values])

    assert leaver.calls[-1] == ("revoked", held_before)
    assert read_by_both == Counter(values)


@pytest.mark.slow
def test_a_commit_inside_revoked_is_stored_before_the_next_owner_reads(grouping: Testbed) -> None:
    topic = grouping.new_topic(_PARTITIONS)
    values = _fill(grouping, topic, 0, 40)
    with members(grouping.cluster, topic, f"{topic}.group", commits_in_revoked=True) as (owner,):
        owner.read(40)
        with members(grouping.cluster, topic, f"{topic}.group") as (newcomer,):
            _settle([owner, newcomer])
            moved = set(newcomer.held)
            values |= _fill(grouping, topic, 40, 40)
            _read_between([owner, newcomer], values)

    assert ("revoked", tuple(sorted(moved))) in owner.calls
    assert Counter([*owner.values, *newcomer.values]) == Counter(values)


def test_leaving_tells_of_the_partitions_still_held_and_stores_a_last_commit(grouping: Testbed) -> None:
    topic = grouping.new_topic()
    grouping.publish(topic, b"1", b"2", b"3")
    with members(grouping.cluster, topic, f"{topic}.group", commits_in_revoked=True) as (first,):
        first.read(3)
    grouping.publish(topic, b"4")

    with members(grouping.cluster, topic, f"{topic}.group") as (second,):
        second.read(1)

    assert first.calls == [("assigned", (0,)), ("revoked", (0,))]
    assert second.values == [b"4"]


@pytest.mark.slow
def test_a_late_acknowledgement_of_an_earlier_assignment_is_not_committed(grouping: Testbed) -> None:
    topic = grouping.new_topic(_PARTITIONS)
    _fill(grouping, topic, 0, _PARTITIONS)
    tracker = OffsetTracker()
    with members(grouping.cluster, topic, f"{topic}.group") as (owner,):
        owner.read(_PARTITIONS)
        tracker.assign(owner.held)
        marks = {
            message.partition: tracker.submit(message.partition, message.offset)[0] for message in owner.messages
        }
        with members(grouping.cluster, topic, f"{topic}.group") as (newcomer,):
            _settle([owner, newcomer])
            moved = set(newcomer.held)
            tracker.unassign(moved)
        # It left without a word: what moved comes back, in a new assignment.
        _settle([owner])
        tracker.assign(moved)
        for mark in marks.values():
            tracker.acknowledge(mark)
        kept = set(range(_PARTITIONS)) - moved
        assert tracker.committable() == dict.fromkeys(kept, 1)
        assert owner.consumer.commit(tracker.committable())

    with members(grouping.cluster, topic, f"{topic}.group") as (after,):
        after.read(len(moved))
    assert {message.partition for message in after.messages} == moved


def test_a_paused_partition_gives_nothing_and_goes_on_at_the_next_offset(grouping: Testbed) -> None:
    topic = grouping.new_topic(2)
    for partition in (0, 1):
        grouping.publish(topic, *(b"%d-%d" % (partition, number) for number in range(50)), partition=partition)
    with members(grouping.cluster, topic, f"{topic}.group") as (member,):
        wait_until(lambda: bool(member.poll()) and member.held == {0, 1})
        member.consumer.pause([0])
        before = sum(message.partition == 0 for message in member.messages)
        grouping.publish(topic, b"1-50", partition=1)
        # The other partition's last message is the sign that there was time for the paused one's.
        assert wait_until(lambda: bool(member.poll()) and member.values.count(b"1-50") == 1)
        during = sum(message.partition == 0 for message in member.messages)
        member.consumer.resume([0])
        grouping.publish(topic, b"0-50", partition=0)
        assert wait_until(lambda: bool(member.poll()) and b"0-50" in member.values)

    assert during == before
    own = [message.offset for message in member.messages if message.partition == 0]
    assert own == list(range(51))


@pytest.mark.slow
def test_a_partition_that_leaves_paused_is_read_when_it_comes_back(grouping: Testbed) -> None:
    topic = grouping.new_topic(_PARTITIONS)
    _fill(grouping, topic, 0, _PARTITIONS)
    with members(grouping.cluster, topic, f"{topic}.group", commits_in_revoked=True) as (owner,):
        owner.read(_PARTITIONS)
        owner.consumer.pause(owner.held)
        with members(grouping.cluster, topic, f"{topic}.group") as (newcomer,):
            _settle([owner, newcomer])
            moved = set(newcomer.held)
        _settle([owner])
        values = _fill(grouping, topic, 100, _PARTITIONS)
        came_back = {b"%d" % (100 + partition) for partition in moved}
        _read_between([owner], came_back)

    assert values & set(owner.values) == came_back


def test_use_from_a_thread_that_does_not_own_the_consumer_is_refused(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    refusals: list[str] = []
    with members(testbed.cluster, topic, f"{topic}.group") as (member,):
        member.poll(0.01)
        uses: list[Callable[[], object]] = [
            lambda: member.consumer.poll(1, 0.01),
            lambda: member.consumer.pause([0]),
            lambda: member.consumer.resume([0]),
            lambda: member.consumer.commit({0: 1}),
            lambda: member.consumer.progress([0]),
            lambda: member.consumer.lost_to_retention({}),
            member.consumer.close,
        ]

        def use_all() -> None:
            for use in uses:
                with pytest.raises(RuntimeError) as refused:
                    use()
                refusals.append(str(refused.value))

        stranger = threading.Thread(target=use_all)
        stranger.start()
        stranger.join(BOUND_SECONDS)

    assert refusals == [f"the consumer of {topic} is used from a thread that does not own it"] * len(uses)


def test_committing_nothing_is_done_without_asking_the_broker(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    with members(testbed.cluster, topic, f"{topic}.group") as (member,):
        assert member.consumer.commit({})


def test_nothing_counts_as_lost_to_retention_while_all_messages_are_there(testbed: Testbed) -> None:
    topic = testbed.new_topic()
    testbed.publish(topic, b"1", b"2")
    with members(testbed.cluster, topic, f"{topic}.group") as (member,):
        member.read(2)
        assert member.consumer.lost_to_retention(member.consumer.progress([0])) == {}
        assert member.consumer.commit({0: 1})
        assert member.consumer.lost_to_retention(member.consumer.progress([0])) == {}
