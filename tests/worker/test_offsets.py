"""`worker/offsets.py`: when progress is committed, and how long a departing partition is waited for."""

from __future__ import annotations

import threading

import pytest

from schemas.topics import Lane
from transport.consumer import Progress
from worker import offsets as offsets_module
from worker.attempts import Attempt
from worker.offsets import LaneOffsets, commit_is_due

from .fakes import FakeConsumer, a_message


class Listener:
    """Takes no note of anything."""

    def assigned(self, partitions: object) -> None: ...

    def revoked(self, partitions: object) -> None: ...

    def lost(self, partitions: object) -> None: ...


def a_consumer(*held: int) -> FakeConsumer:
    consumer = FakeConsumer(Listener(), [], lambda: None)
    consumer.held.update(held)
    return consumer


def lane_offsets(*partitions: int, every_seconds: float = 0.0) -> LaneOffsets:
    offsets = LaneOffsets(Lane.BULK, every_seconds)
    offsets.tracker.assign(partitions)
    return offsets


@pytest.mark.parametrize(
    ("now", "last", "every", "due"), [(10, 9, 1, True), (9.99, 9, 1, False), (9, 9, 0, True), (20, 9, 1, True)]
)
def test_a_commit_is_due_once_the_time_between_two_is_over(now: float, last: float, every: float, due: bool) -> None:
    assert commit_is_due(now, last, every) is due


def test_only_what_is_acknowledged_from_the_start_on_is_committed() -> None:
    offsets, consumer = lane_offsets(0), a_consumer(0)
    marks = [offsets.tracker.submit(0, offset)[0] for offset in (5, 6, 7)]
    offsets.acknowledged(marks[1])
    offsets.commit(consumer)
    assert consumer.commits == []
    offsets.acknowledged(marks[0])
    offsets.commit(consumer)
    assert consumer.commits == [{0: 7}]


def test_nothing_new_is_not_committed_again() -> None:
    offsets, consumer = lane_offsets(0), a_consumer(0)
    offsets.acknowledged(offsets.tracker.submit(0, 5)[0])
    offsets.commit(consumer)
    offsets.commit(consumer)
    assert consumer.commits == [{0: 6}]


def test_a_commit_that_failed_is_made_up_for_by_the_next() -> None:
    offsets, consumer = lane_offsets(0), a_consumer(0)
    consumer.refuse_commits = 1
    offsets.acknowledged(offsets.tracker.submit(0, 5)[0])
    offsets.commit(consumer)
    assert consumer.commits == []
    offsets.commit(consumer)
    assert consumer.commits == [{0: 6}]
    assert (offsets.commits, offsets.failed_commits) == (1, 1)


def test_only_the_partitions_asked_for_are_committed() -> None:
    offsets, consumer = lane_offsets(0, 1), a_consumer(0, 1)
    for partition in (0, 1):
        offsets.acknowledged(offsets.tracker.submit(partition, 5)[0])
    offsets.commit(consumer, [1])
    assert consumer.commits == [{1: 6}]


class FakeTime:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_between_two_commits_the_time_must_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime()
    monkeypatch.setattr(offsets_module, "time", clock)
    offsets, consumer = lane_offsets(0, every_seconds=10), a_consumer(0)
    commits = []
    for offset in range(26):
        offsets.acknowledged(offsets.tracker.submit(0, offset)[0])
        offsets.commit_if_due(consumer)
        commits.append(len(consumer.commits))
        clock.now += 1
    assert commits == [0] * 10 + [1] * 10 + [2] * 6
    assert consumer.commits == [{0: 11}, {0: 21}]


def test_waiting_ends_at_once_when_nothing_is_under_way() -> None:
    assert lane_offsets(0).wait_until_done(None, 0)
    assert lane_offsets(0).wait_until_done([0, 9], 0)


def test_waiting_says_that_the_time_was_not_enough() -> None:
    offsets = lane_offsets(0, 1)
    offsets.tracker.submit(0, 5)
    assert not offsets.wait_until_done([0], 0.01)
    assert not offsets.wait_until_done(None, 0.01)
    assert offsets.wait_until_done([1], 0)


def test_waiting_ends_when_another_thread_acknowledges_the_last_message() -> None:
    offsets = lane_offsets(0)
    marks = [offsets.tracker.submit(0, offset)[0] for offset in range(100)]
    waiting, done, pending_in = threading.Event(), [], offsets.tracker.pending_in

    def look(partitions: list[int]) -> int:
        waiting.set()
        return pending_in(partitions)

    offsets.tracker.pending_in = look  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=lambda: done.append(offsets.wait_until_done([0], 60)))
    thread.start()
    assert waiting.wait(10)
    for mark in reversed(marks):
        offsets.acknowledged(mark)
    thread.join(10)
    assert done == [True]
    assert offsets.tracker.committable() == {0: 100}


def test_what_was_read_under_an_earlier_assignment_moves_nothing() -> None:
    offsets, consumer = lane_offsets(0), a_consumer(0)
    stale = offsets.tracker.submit(0, 5)[0]
    offsets.tracker.assign([0])
    offsets.acknowledged(stale)
    offsets.commit(consumer)
    assert consumer.commits == []


def test_hastened_each_look_commits() -> None:
    offsets, consumer = lane_offsets(0, every_seconds=3600), a_consumer(0)
    offsets.acknowledged(offsets.tracker.submit(0, 5)[0])
    offsets.commit_if_due(consumer)
    assert consumer.commits == []
    offsets.hasten()
    offsets.commit_if_due(consumer)
    assert consumer.commits == [{0: 6}]


def test_what_is_done_of_departing_partitions_is_committed_although_something_is_not() -> None:
    offsets, consumer = lane_offsets(0, 1), a_consumer(0, 1)
    for partition in (0, 1):
        offsets.acknowledged(offsets.tracker.submit(partition, 5)[0])
    offsets.tracker.submit(0, 6)
    assert not offsets.settle(consumer, [0], 0.01)
    assert consumer.commits == [{0: 6}]
    assert offsets.settle(consumer, [1], 0.01)
    offsets.unassign([0])
    assert offsets.tracker.assigned == {1}


def test_partitions_that_leave_take_back_the_start_that_was_counted_for_them() -> None:
    offsets, consumer = lane_offsets(0), a_consumer(0)
    consumer.stored[0] = Progress(5, Attempt(1, 3).encode())
    offsets.attempts.assigned([0], consumer.stored, {})
    offsets.mark(consumer, [a_message(offset=5)])
    assert Attempt.decode(consumer.stored[0].metadata).attempt == 2
    assert offsets.settle(consumer, [0], 0.0)
    assert consumer.stored[0] == Progress(5, Attempt(1, 3).encode())


def test_partitions_that_are_anothers_leave_no_suspect_behind() -> None:
    offsets = lane_offsets(0)
    offsets.attempts.assigned([0], {0: Progress(5, Attempt(2, 3).encode())}, {})
    assert offsets.attempts.has_suspects
    offsets.unassign([0])
    assert not offsets.attempts.has_suspects
