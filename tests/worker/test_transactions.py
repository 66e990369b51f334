"""`worker/transactions.py`: when a transaction begins, what becomes of it, and what a rebalance does to it."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from tests.stack.waiting import wait_until
from transport.consumer import Membership, Progress
from transport.errors import FatalTransportError
from transport.messages import Outgoing
from transport.producer import DeliveryFailure, FailureKind
from transport.transactional_producer import Aborted
from worker import transactions as transactions_module
from worker.attempts import Attempt
from worker.bounds import InFlight
from worker.transactions import ExactlyOnce

from .fakes import FakeConsumer, a_message, an_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transport.consumer import GroupConsumer
    from worker.request import RequestInFlight

WAIT_SECONDS = 10.0
TOO_LARGE = DeliveryFailure(FailureKind.TOO_LARGE, "over the limit")


class Seen(NamedTuple):
    """One transaction as the producer was asked for it."""

    values: list[bytes | None]
    offsets: dict[int, int]
    membership: Membership


class FakeTransactions:
    """Takes transactions down; each ends as the test says, at once or when it lets it."""

    def __init__(self) -> None:
        self.seen: queue.Queue[Seen] = queue.Queue()
        self.outcomes: queue.SimpleQueue[Aborted | Exception | None] = queue.SimpleQueue()
        self.waits = False
        self.stored: dict[int, Progress] = {}
        """What the group has."""

    def transact(
        self, messages: Sequence[Outgoing], progress: Mapping[int, Progress], membership: Membership
    ) -> Aborted | None:
        offsets = {partition: stored.next_offset for partition, stored in progress.items()}
        self.seen.put(Seen([message.value for message in messages], offsets, membership))
        outcome = None if not self.waits and self.outcomes.empty() else self.outcomes.get(timeout=WAIT_SECONDS)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            back = [p for p, offset in offsets.items() if p in self.stored and offset < self.stored[p].next_offset]
            assert not back, f"the group was moved back: {back}"
            self.stored.update(progress)
        return outcome

    def go_on(self) -> None:
        """Let the one under way take place, and wait with none after it."""
        self.waits = False
        self.outcomes.put(None)

    def next(self) -> Seen:
        return self.seen.get(timeout=WAIT_SECONDS)


class Bench:
    """One lane under exactly-once, its thread running."""

    def __init__(self, every_seconds: float = 0.001, max_bytes: int = 10**9) -> None:
        self.producer = FakeTransactions()
        self.in_flight = InFlight(10**6, max_bytes)
        self.delivery = ExactlyOnce(every_seconds, 1.0, self.in_flight, self.producer)
        self.delivery.tracker.assign([0, 1])
        self.delivery.attempts.assigned([0, 1], {}, {})
        self.fake = FakeConsumer(cast("Any", None), [], lambda: None)
        self.fake.held = {0, 1}
        self.told: dict[int, DeliveryFailure | None] = {}
        self.died: list[Exception] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def consumer(self) -> GroupConsumer:
        return cast("GroupConsumer", self.fake)

    def _run(self) -> None:
        try:
            self.delivery.run()
        except FatalTransportError as error:
            self.died.append(error)

    def read(self, offset: int, partition: int = 0, *, tokens: int = 10, size_bytes: int = 100) -> RequestInFlight:
        item = an_item(partition=partition, offset=offset)
        item.submitted, _ = self.delivery.tracker.submit(partition, offset)
        item.reservation = self.in_flight.reserve(tokens, size_bytes)
        item.unacknowledged = 1
        return item

    def answer(self, item: RequestInFlight, value: bytes = b"v") -> None:
        offset = item.message.offset

        def on_delivery(failure: DeliveryFailure | None) -> None:
            self.told[offset] = failure
            if failure is None:
                self.in_flight.release(item.reservation)
                self.delivery.acknowledged(item.submitted)

        self.delivery.produce(item, Outgoing("t", None, None, value, ()), on_delivery)

    def until_transaction(self) -> Seen:
        """Ask for a commit as the intake does, until one begins."""
        until = time.monotonic() + WAIT_SECONDS
        while self.producer.seen.empty():
            assert time.monotonic() < until, "no transaction begins"
            self.delivery.commit_if_due(self.consumer)
            time.sleep(0.001)
        return self.producer.next()

    def until_done(self) -> None:
        assert self.delivery.wait_until_done(None, WAIT_SECONDS)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(transactions_module, "_AGAIN_AFTER_SECONDS", 0.01)
    bench = Bench()
    yield bench
    bench.delivery.stop()
    bench.thread.join(WAIT_SECONDS)


def test_answers_and_offsets_are_committed_together_and_by_the_transaction_alone(bench: Bench) -> None:
    for offset in (5, 6):
        bench.answer(bench.read(offset), b"%d" % offset)

    seen = bench.until_transaction()

    assert seen == Seen([b"5", b"6"], {0: 7}, cast("Membership", bench.fake.place))
    bench.until_done()
    assert bench.told == {5: None, 6: None}
    assert bench.fake.commits == []


def test_the_membership_is_read_anew_for_each_transaction(bench: Bench) -> None:
    for generation in range(2):
        bench.fake.place = Membership("embedding.requests", generation)
        bench.answer(bench.read(generation))
        assert bench.until_transaction().membership.metadata == generation
        bench.until_done()


def test_without_a_place_in_the_group_nothing_is_committed(bench: Bench) -> None:
    bench.answer(bench.read(0))
    place, bench.fake.place = bench.fake.place, None
    for _ in range(20):
        time.sleep(0.001)
        bench.delivery.commit_if_due(bench.consumer)
    assert bench.producer.seen.empty()

    bench.fake.place = place
    assert bench.until_transaction().offsets == {0: 1}


def test_one_transaction_is_under_way_at_a_time(bench: Bench) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.answer(bench.read(0, partition=1))
    for _ in range(20):
        time.sleep(0.001)
        bench.delivery.commit_if_due(bench.consumer)
    bench.fake.place = Membership("embedding.requests", "read after the first one's end")

    bench.producer.outcomes.put(None)
    assert bench.until_transaction() == Seen([b"v"], {1: 1}, bench.fake.place)
    bench.producer.outcomes.put(None)
    bench.until_done()


def test_between_two_transactions_the_time_must_pass_unless_the_lane_is_full() -> None:
    bench = Bench(every_seconds=3600, max_bytes=150)
    bench.answer(bench.read(0, size_bytes=100))
    bench.delivery.commit_if_due(bench.consumer)
    assert bench.producer.seen.empty()

    bench.answer(bench.read(1, size_bytes=100))
    bench.delivery.commit_if_due(bench.consumer)
    assert bench.producer.next().offsets == {0: 2}
    bench.until_done()
    bench.delivery.stop()
    bench.thread.join(WAIT_SECONDS)


def test_what_one_transaction_has_no_room_for_does_not_wait_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions_module, "_MAX_BYTES", 2)
    bench = Bench(every_seconds=3600, max_bytes=500)
    for offset in range(5):
        bench.answer(bench.read(offset, size_bytes=100))
    assert [bench.until_transaction().offsets for _ in range(3)] == [{0: 2}, {0: 4}, {0: 5}]
    bench.until_done()
    bench.delivery.stop()
    bench.thread.join(WAIT_SECONDS)


def test_hastened_it_waits_for_no_time() -> None:
    bench = Bench(every_seconds=3600)
    bench.answer(bench.read(0))
    bench.delivery.hasten()
    bench.delivery.commit_if_due(bench.consumer)
    assert bench.producer.next().offsets == {0: 1}
    bench.delivery.stop()
    bench.thread.join(WAIT_SECONDS)


def test_what_waits_for_its_transaction_counts_in_bytes_and_no_longer_in_tokens(bench: Bench) -> None:
    bench.answer(bench.read(0, tokens=10, size_bytes=100))
    assert (bench.in_flight.tokens, bench.in_flight.bytes) == (0, 100)
    bench.until_transaction()
    bench.until_done()
    assert (bench.in_flight.tokens, bench.in_flight.bytes, bench.in_flight.requests) == (0, 0, 0)


def test_after_an_abort_all_is_published_again_but_what_was_at_fault(bench: Bench) -> None:
    bench.producer.outcomes.put(Aborted("too large", {1: TOO_LARGE}))
    items = [bench.read(offset) for offset in range(3)]
    for offset, item in enumerate(items):
        bench.answer(item, b"%d" % offset)

    assert bench.until_transaction().values == [b"0", b"1", b"2"]
    assert bench.until_transaction().offsets == {0: 1}
    assert bench.told == {0: None, 1: TOO_LARGE}
    bench.answer(items[1], b"an error in its stead")
    assert bench.until_transaction().values == [b"an error in its stead", b"2"]
    bench.until_done()


def test_a_fenced_producer_ends_the_stage(bench: Bench) -> None:
    bench.producer.outcomes.put(FatalTransportError("fenced"))
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.thread.join(WAIT_SECONDS)
    assert [str(error) for error in bench.died] == ["fenced"]
    assert bench.told == {}


def test_a_transaction_that_does_not_end_ends_the_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.delivery.commit_if_due(bench.consumer)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1 + 10 + 1)

    with pytest.raises(FatalTransportError, match="a transaction has had no end for 11 s"):
        bench.delivery.commit_if_due(bench.consumer)

    bench.producer.outcomes.put(None)


# --- partitions that go -----------------------------------------------------------------------------------


def test_departing_partitions_are_waited_for_and_committed_alone(bench: Bench) -> None:
    late, other = bench.read(0), bench.read(7, partition=1)
    bench.answer(other)
    answering = threading.Timer(0.05, bench.answer, [late])
    answering.start()

    assert bench.delivery.settle(bench.consumer, [0], WAIT_SECONDS)

    assert bench.producer.next().offsets == {0: 1}
    assert bench.producer.seen.empty()
    answering.join()


def test_departing_partitions_wait_for_the_transaction_under_way(bench: Bench) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()
    ending = threading.Timer(0.05, bench.producer.go_on)
    ending.start()

    assert bench.delivery.settle(bench.consumer, [0], WAIT_SECONDS)
    ending.join()


def test_a_rebalance_does_not_wait_for_a_transaction_longer_than_it_may(bench: Bench) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()

    assert not bench.delivery.settle(bench.consumer, [0], 0.05)

    # It goes on; aborted, its answers are the next owner's to publish.
    bench.delivery.unassign([0])
    bench.producer.outcomes.put(Aborted("another generation", {}))
    bench.answer(bench.read(0, partition=1))
    bench.producer.outcomes.put(None)
    assert bench.until_transaction().offsets == {1: 1}
    bench.until_done()


def test_a_transaction_aborted_in_a_rebalance_is_tried_again_within_the_time(bench: Bench) -> None:
    bench.producer.outcomes.put(Aborted("the coordinator moved", {}))
    bench.answer(bench.read(0))

    assert bench.delivery.settle(bench.consumer, [0], WAIT_SECONDS)
    assert [bench.producer.next().offsets for _ in range(2)] == [{0: 1}, {0: 1}]


def test_what_is_not_answered_in_time_is_left_to_the_next_owner(bench: Bench) -> None:
    bench.answer(bench.read(0))
    bench.read(1)

    assert not bench.delivery.settle(bench.consumer, [0], 0.5)
    assert bench.producer.next().offsets == {0: 1}


# --- the end ----------------------------------------------------------------------------------------------


def test_before_the_consumer_leaves_all_that_is_answered_is_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions_module, "_MAX_BYTES", 2)
    for offset in range(5):
        bench.answer(bench.read(offset))

    bench.delivery.commit(bench.consumer)

    assert bench.delivery.tracker.pending_in() == 0
    assert [bench.producer.next().offsets for _ in range(3)] == [{0: 2}, {0: 4}, {0: 5}]


def test_a_last_commit_that_is_aborted_leaves_the_rest_to_the_next_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions_module, "_AGAIN_AFTER_SECONDS", 3600)
    bench.producer.outcomes.put(Aborted("another generation", {}))
    bench.answer(bench.read(0))

    bench.delivery.commit(bench.consumer)

    assert bench.delivery.tracker.pending_in() == 1


def test_whether_the_last_commit_was_taken_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions_module, "_AGAIN_AFTER_SECONDS", 3600)
    bench.answer(bench.read(0))
    assert bench.delivery.commit(bench.consumer)
    bench.producer.outcomes.put(Aborted("another generation", {}))
    bench.answer(bench.read(1))
    assert not bench.delivery.commit(bench.consumer)


def test_an_orderly_end_commits_what_is_answered_unless_it_is_told_not_to(bench: Bench) -> None:
    bench.answer(bench.read(0))
    bench.delivery.give_back(bench.consumer, commit=False)
    assert bench.delivery.tracker.pending_in() == 1
    bench.delivery.give_back(bench.consumer)
    assert bench.delivery.tracker.pending_in() == 0


# --- what is remembered beside the offsets ----------------------------------------------------------------


def a_start(bench: Bench, attempt: Attempt, offset: int = 0) -> None:
    """Partition 0 comes with what the group remembers of it."""
    bench.producer.stored[0] = Progress(offset, attempt.encode())
    bench.delivery.attempts.assigned([0], bench.producer.stored, {})


def remembered(bench: Bench) -> tuple[int, Attempt]:
    next_offset, metadata = bench.producer.stored[0]
    return next_offset, Attempt.decode(metadata)


def test_a_start_is_stored_in_a_transaction_before_anything_is_computed(bench: Bench) -> None:
    bench.delivery.mark(bench.consumer, [a_message(offset=5), a_message(offset=6)])
    assert remembered(bench) == (5, Attempt(1, 2))
    assert bench.producer.next() == Seen([], {0: 5}, cast("Membership", bench.fake.place))
    bench.delivery.mark(bench.consumer, [a_message(offset=7)])
    assert bench.producer.seen.empty()
    assert bench.fake.commits == []


def test_a_mark_does_not_move_the_group_back_behind_the_transaction_it_waited_for(bench: Bench) -> None:
    a_start(bench, Attempt(1, 1), offset=5)
    bench.producer.waits = True
    bench.answer(bench.read(5))
    bench.until_transaction()
    ending = threading.Timer(0.05, bench.producer.outcomes.put, [None])
    ending.start()

    bench.delivery.mark(bench.consumer, [a_message(offset=6)])

    ending.join()
    assert remembered(bench) == (6, Attempt(1, 0))
    assert bench.producer.seen.empty()


def test_a_mark_takes_along_what_is_answered(bench: Bench) -> None:
    a_start(bench, Attempt(1, 1), offset=5)
    bench.answer(bench.read(3, partition=1))
    bench.delivery.mark(bench.consumer, [a_message(offset=5)])
    assert bench.producer.next() == Seen([b"v"], {0: 5, 1: 4}, cast("Membership", bench.fake.place))
    assert remembered(bench) == (5, Attempt(2, 1))


def test_a_mark_that_was_aborted_is_due_again_with_the_next_messages(bench: Bench) -> None:
    bench.producer.outcomes.put(Aborted("the coordinator moved", {}))
    bench.delivery.mark(bench.consumer, [a_message(offset=5)])
    assert bench.producer.stored == {}
    bench.delivery.mark(bench.consumer, [a_message(offset=6)])
    assert remembered(bench) == (5, Attempt(1, 2))


def test_a_request_runs_alone_only_once_the_group_knows(bench: Bench) -> None:
    a_start(bench, Attempt(2, 3), offset=5)
    bench.producer.outcomes.put(Aborted("the coordinator moved", {}))
    assert not bench.delivery.mark_alone(bench.consumer, [a_message(offset=5)])
    assert remembered(bench) == (5, Attempt(2, 3))
    assert bench.delivery.mark_alone(bench.consumer, [a_message(offset=5)])
    assert remembered(bench) == (5, Attempt(2, 3, alone=1))


def test_the_answer_of_what_runs_alone_waits_for_no_time_and_takes_its_mark_away() -> None:
    bench = Bench(every_seconds=3600)
    a_start(bench, Attempt(2, 3), offset=5)
    assert bench.delivery.mark_alone(bench.consumer, [a_message(offset=5)])
    item = bench.read(5)
    item.is_alone = True
    bench.answer(item)
    bench.delivery.commit_if_due(bench.consumer)
    bench.until_done()
    assert remembered(bench) == (6, Attempt(2, 2))
    bench.delivery.stop()
    bench.thread.join(WAIT_SECONDS)


def test_what_was_stored_under_an_earlier_assignment_counts_for_nothing(bench: Bench) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.delivery.unassign([0])
    bench.producer.go_on()
    wait_until(lambda: 0 in bench.told, "the end of the transaction")
    # Another worker has had it meanwhile.
    bench.delivery.tracker.assign([0])
    a_start(bench, Attempt(), offset=9)

    bench.delivery.mark(bench.consumer, [a_message(offset=9)])

    assert remembered(bench) == (9, Attempt(1, 1))


def test_an_orderly_end_takes_the_start_back_with_the_last_answers(bench: Bench) -> None:
    a_start(bench, Attempt(1, 1), offset=5)
    bench.delivery.mark(bench.consumer, [a_message(offset=5)])
    assert remembered(bench) == (5, Attempt(2, 1))
    bench.answer(bench.read(5))
    bench.delivery.give_back(bench.consumer)
    assert remembered(bench) == (6, Attempt())
    assert [bench.producer.next().offsets for _ in range(2)] == [{0: 5}, {0: 6}]


def test_an_orderly_end_without_a_commit_takes_the_start_back_and_publishes_nothing(bench: Bench) -> None:
    a_start(bench, Attempt(1, 1), offset=5)
    bench.delivery.mark(bench.consumer, [a_message(offset=5)])
    bench.answer(bench.read(5))
    bench.delivery.give_back(bench.consumer, commit=False)
    assert remembered(bench) == (5, Attempt(1, 1))
    assert [bench.producer.next().values for _ in range(2)] == [[], []]


def test_departing_partitions_take_their_start_back_although_nothing_is_answered(bench: Bench) -> None:
    bench.delivery.mark(bench.consumer, [a_message(offset=5)])
    bench.read(5)
    assert not bench.delivery.settle(bench.consumer, [0], 0.5)
    assert remembered(bench) == (5, Attempt())


def test_once_the_producer_is_fenced_nothing_is_waited_for(bench: Bench) -> None:
    bench.producer.outcomes.put(FatalTransportError("fenced"))
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.thread.join(WAIT_SECONDS)
    started_at = time.monotonic()

    assert not bench.delivery.mark_alone(bench.consumer, [a_message(offset=1)])
    assert not bench.delivery.commit(bench.consumer)
    bench.delivery.give_back(bench.consumer, commit=False)

    assert time.monotonic() - started_at < transactions_module._MARK_SECONDS
    assert bench.producer.stored == {}


def test_a_last_commit_does_not_wait_for_a_transaction_without_an_end(bench: Bench) -> None:
    bench.producer.waits = True
    bench.answer(bench.read(0))
    bench.until_transaction()
    bench.delivery._overdue_seconds = 0.05
    with pytest.raises(FatalTransportError, match="no end"):
        bench.delivery.give_back(bench.consumer)
    bench.producer.outcomes.put(None)
