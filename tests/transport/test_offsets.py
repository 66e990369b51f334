"""The watermark never passes a message that is not acknowledged, whatever the order of events."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from transport.offsets import OffsetTracker, Submitted

_PARTITIONS = (0, 1, 2)


@pytest.fixture
def tracker() -> OffsetTracker:
    made = OffsetTracker()
    made.assign([0])
    return made


def _submit(tracker: OffsetTracker, *offsets: int, partition: int = 0) -> list[Submitted]:
    return [tracker.submit(partition, offset)[0] for offset in offsets]


def test_nothing_is_committable_while_the_first_message_is_unanswered(tracker: OffsetTracker) -> None:
    _, second, third = _submit(tracker, 5, 6, 7)
    tracker.acknowledge(third)
    tracker.acknowledge(second)

    assert tracker.committable() == {}
    assert tracker.pending(0) == 3


def test_the_head_releases_everything_acknowledged_behind_it(tracker: OffsetTracker) -> None:
    first, second, _ = _submit(tracker, 5, 6, 7)
    tracker.acknowledge(second)
    tracker.acknowledge(first)

    assert tracker.committable() == {0: 7}
    assert tracker.pending(0) == 1


def test_the_next_offset_of_a_gap_is_the_one_after_the_last_message_done(tracker: OffsetTracker) -> None:
    (first,) = _submit(tracker, 5)
    assert tracker.submit(0, 9)[1] == 3
    tracker.acknowledge(first)

    assert tracker.committable() == {0: 6}


def test_the_first_message_of_an_assignment_skips_nothing_wherever_it_lies(tracker: OffsetTracker) -> None:
    assert tracker.submit(0, 1_000_000)[1] == 0


def test_an_offset_read_twice_in_one_assignment_is_refused(tracker: OffsetTracker) -> None:
    _submit(tracker, 5)

    with pytest.raises(ValueError, match="partition 0: offset 5 read after 6"):
        tracker.submit(0, 5)


def test_a_message_of_a_partition_not_held_is_refused(tracker: OffsetTracker) -> None:
    with pytest.raises(KeyError):
        tracker.submit(1, 0)


def test_what_is_committed_is_not_committable_again(tracker: OffsetTracker) -> None:
    first, second = _submit(tracker, 0, 1)
    tracker.acknowledge(first)
    tracker.committed(tracker.committable())
    assert tracker.committable() == {}
    tracker.acknowledge(second)

    assert tracker.committable() == {0: 2}


def test_only_the_partitions_asked_for_are_committable(tracker: OffsetTracker) -> None:
    tracker.assign([1])
    for partition in (0, 1):
        tracker.acknowledge(tracker.submit(partition, 0)[0])

    assert tracker.committable([1, 7]) == {1: 1}


def test_a_partition_assigned_again_starts_anew_and_an_earlier_acknowledgement_counts_for_nothing(
    tracker: OffsetTracker,
) -> None:
    (early,) = _submit(tracker, 5)
    tracker.unassign([0])
    assert not tracker.is_current(early)
    tracker.assign([0])
    (again,) = _submit(tracker, 5)
    tracker.acknowledge(early)

    assert not tracker.is_current(early)
    assert tracker.is_current(again)
    assert tracker.committable() == {}
    assert tracker.pending_in() == 1


def test_a_commit_told_after_the_partition_left_is_forgotten(tracker: OffsetTracker) -> None:
    tracker.unassign([0])
    tracker.committed({0: 9})
    tracker.assign([0])
    tracker.acknowledge(tracker.submit(0, 8)[0])

    assert tracker.committable() == {0: 9}


def test_acknowledgements_from_many_threads_all_count(tracker: OffsetTracker) -> None:
    marks = _submit(tracker, *range(4000))

    def acknowledge(own: list[Submitted]) -> None:
        for mark in own:
            tracker.acknowledge(mark)

    threads = [threading.Thread(target=acknowledge, args=(marks[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tracker.committable() == {0: 4000}
    assert tracker.pending(0) == 0


@dataclass
class _Expected:
    """What a partition's assignment has seen, kept the plain way: every offset, and those acknowledged."""

    first_offset: int
    submitted: list[int] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)

    @property
    def next_offset(self) -> int | None:
        done = None
        for offset in self.submitted:
            if offset not in self.acknowledged:
                break
            done = offset + 1
        return done


class TrackerMachine(RuleBasedStateMachine):
    """Any order of assignments, reads, acknowledgements and commits, against lists that forget nothing."""

    marks = Bundle("marks")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.held: dict[int, _Expected] = {}
        self.of_mark: dict[int, _Expected] = {}
        self.stored: dict[int, int] = {}

    @rule(partitions=st.sets(st.sampled_from(_PARTITIONS), min_size=1))
    def assign(self, partitions: set[int]) -> None:
        self.tracker.assign(partitions)
        for partition in partitions:
            self.held[partition] = _Expected(self.stored.get(partition, 0))

    @rule(partitions=st.sets(st.sampled_from(_PARTITIONS)))
    def unassign(self, partitions: set[int]) -> None:
        self.tracker.unassign(partitions)
        for partition in partitions:
            self.held.pop(partition, None)

    @rule(target=marks, partition=st.sampled_from(_PARTITIONS), gap=st.integers(0, 2))
    def submit(self, partition: int, gap: int) -> Submitted | None:
        expected = self.held.get(partition)
        if expected is None:
            with pytest.raises(KeyError):
                self.tracker.submit(partition, 0)
            return None
        before = expected.submitted[-1] + 1 if expected.submitted else expected.first_offset
        mark, skipped = self.tracker.submit(partition, before + gap)
        assert skipped == (gap if expected.submitted else 0)
        expected.submitted.append(mark.offset)
        self.of_mark[id(mark)] = expected
        return mark

    @rule(mark=consumes(marks))
    def acknowledge(self, mark: Submitted | None) -> None:
        if mark is not None:
            self.tracker.acknowledge(mark)
            self.of_mark[id(mark)].acknowledged.add(mark.offset)
            current = self.of_mark[id(mark)] is self.held.get(mark.partition)
            assert self.tracker.is_current(mark) == current

    @rule()
    def commit(self) -> None:
        offsets = self.tracker.committable()
        self.tracker.committed(offsets)
        self.stored |= offsets
        assert self.tracker.committable() == {}

    @invariant()
    def the_watermark_is_the_first_unacknowledged_message(self) -> None:
        committable = self.tracker.committable()
        for partition, expected in self.held.items():
            if partition in committable:
                assert committable[partition] == expected.next_offset
            else:
                assert expected.next_offset in (None, self.stored.get(partition))
            pending = [offset for offset in expected.submitted if offset >= (expected.next_offset or 0)]
            assert self.tracker.pending(partition) == len(pending)
        assert committable.keys() <= self.held.keys()
        assert self.tracker.assigned == self.held.keys()


class TestTrackerMachine(TrackerMachine.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_what_leads_is_done_from_the_watermark_on_without_a_gap() -> None:
    tracker = OffsetTracker()
    tracker.assign([0, 1, 2])
    marks = {(p, offset): tracker.submit(p, offset)[0] for p in (0, 1) for offset in (5, 6, 7)}
    done = {marks[0, 5], marks[0, 6], marks[1, 6], marks[1, 7]}

    assert tracker.leading(done.__contains__) == {0: [marks[0, 5], marks[0, 6]]}
    done.add(marks[1, 5])
    assert tracker.leading(done.__contains__, [1, 2, 9]) == {1: [marks[1, 5], marks[1, 6], marks[1, 7]]}

    tracker.acknowledge(marks[0, 5])
    assert tracker.leading(done.__contains__, [0]) == {0: [marks[0, 6]]}
