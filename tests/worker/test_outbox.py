"""`worker/outbox.py`: which answers a transaction holds, whatever order they came in."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transport.messages import Outgoing
from transport.offsets import OffsetTracker
from transport.producer import DeliveryFailure, FailureKind
from worker.outbox import Held, Outbox, Transaction

from .fakes import an_item

TOO_LARGE = DeliveryFailure(FailureKind.TOO_LARGE, "over the limit")


class Bench:
    """An outbox, and the requests whose answers go into it."""

    def __init__(self, *partitions: int) -> None:
        self.tracker = OffsetTracker()
        self.tracker.assign(partitions)
        self.outbox = Outbox(self.tracker)
        self.told: list[tuple[str, DeliveryFailure | None]] = []

    def read(self, partition: int, offset: int, *answers: str) -> list[Held]:
        """A request is read; its answers, not yet in the outbox, named by their value."""
        item = an_item(partition=partition, offset=offset)
        item.submitted, _ = self.tracker.submit(partition, offset)
        item.unacknowledged = len(answers)
        return [
            Held(
                item,
                Outgoing("t", None, None, answer.encode(), ()),
                lambda failure, answer=answer: self.told.append((answer, failure)),  # type: ignore[misc]
            )
            for answer in answers
        ]

    def answer(self, *held: Held) -> None:
        for one in held:
            self.outbox.add(one)

    def cut(self, *partitions: int, max_bytes: int = 10**6) -> tuple[list[str], dict[int, int]] | None:
        """The answers of the next transaction, and its offsets; it then counts as committed."""
        transaction = self.outbox.cut(max_bytes, partitions or None)
        if transaction is None:
            return None
        self.commit(transaction)
        return values(transaction), transaction.offsets

    def commit(self, transaction: Transaction) -> None:
        for held in transaction.held:
            self.tracker.acknowledge(held.item.submitted)


def values(transaction: Transaction) -> list[str]:
    return [(held.message.value or b"").decode() for held in transaction.held]


def test_an_answer_beyond_an_unanswered_message_waits() -> None:
    bench = Bench(0)
    first, second = bench.read(0, 5, "a"), bench.read(0, 6, "b")

    bench.answer(*second)
    assert bench.cut() is None

    bench.answer(*first)
    assert bench.cut() == (["a", "b"], {0: 7})
    assert bench.cut() is None


def test_a_request_with_two_answers_waits_for_both() -> None:
    bench = Bench(0)
    error, dead_letter = bench.read(0, 5, "error", "dead letter")

    bench.answer(error)
    assert bench.cut() is None

    bench.answer(dead_letter)
    assert bench.cut() == (["error", "dead letter"], {0: 6})


def test_partitions_do_not_wait_for_each_other() -> None:
    bench = Bench(0, 1)
    bench.read(0, 5, "a")
    bench.answer(*bench.read(1, 9, "b"))

    assert bench.cut() == (["b"], {1: 10})


def test_only_the_partitions_asked_for_are_taken() -> None:
    bench = Bench(0, 1)
    bench.answer(*bench.read(0, 5, "a"), *bench.read(1, 9, "b"))

    assert bench.cut(1) == (["b"], {1: 10})
    assert bench.cut() == (["a"], {0: 6})


def test_answers_are_in_the_order_of_their_requests_whenever_they_came() -> None:
    bench = Bench(0)
    read = [bench.read(0, offset, str(offset)) for offset in range(5)]
    for held in reversed(read):
        bench.answer(*held)

    assert bench.cut() == (["0", "1", "2", "3", "4"], {0: 5})


def test_what_a_transaction_has_no_room_for_is_first_in_the_next() -> None:
    bench = Bench(0, 1, 2)
    for partition in range(3):
        for offset in range(2):
            bench.answer(*bench.read(partition, offset, f"{partition}{offset}"))

    assert bench.cut(max_bytes=6) == (["00", "01", "10"], {0: 2, 1: 1})
    bench.answer(*bench.read(0, 2, "02"))
    assert bench.cut(max_bytes=6) == (["11", "20", "21"], {1: 2, 2: 2})
    assert bench.cut(max_bytes=6) == (["02"], {0: 3})


def test_an_answer_larger_than_a_transaction_is_let_through_alone() -> None:
    bench = Bench(0)
    bench.answer(*bench.read(0, 0, "a long answer"), *bench.read(0, 1, "b"))

    assert bench.cut(max_bytes=3) == (["a long answer"], {0: 1})


def test_after_an_abort_everything_is_there_again() -> None:
    bench = Bench(0)
    bench.answer(*bench.read(0, 0, "a", "b"), *bench.read(0, 1, "c"))
    transaction = bench.outbox.cut(10**6)
    assert transaction is not None

    bench.outbox.put_back(transaction, {})

    assert bench.told == []
    assert bench.cut() == (["a", "b", "c"], {0: 2})


def test_a_message_at_fault_is_not_taken_again_and_holds_back_what_is_beyond_until_it_is_replaced() -> None:
    bench = Bench(0)
    bench.answer(*bench.read(0, 0, "a"))
    error, dead_letter = bench.read(0, 1, "error", "dead letter")
    bench.answer(error, dead_letter, *bench.read(0, 2, "c"))
    transaction = bench.outbox.cut(10**6)
    assert transaction is not None

    bench.outbox.put_back(transaction, {values(transaction).index("error"): TOO_LARGE})

    assert bench.told == [("error", TOO_LARGE)]
    assert bench.cut() == (["a"], {0: 1})
    shorter = Held(error.item, Outgoing("t", None, None, b"shorter", ()), error.on_delivery)
    bench.answer(shorter)
    assert bench.cut() == (["dead letter", "shorter", "c"], {0: 3})


@pytest.mark.parametrize("when", ["before it is answered", "while it waits", "in a transaction that is aborted"])
def test_what_is_another_workers_is_told_so_and_in_no_transaction(when: str) -> None:
    bench = Bench(0, 1)
    held, kept = bench.read(0, 0, "gone"), bench.read(1, 0, "kept")
    bench.answer(*kept)
    transaction: Transaction | None = None
    if when != "before it is answered":
        bench.answer(*held)
    if when == "in a transaction that is aborted":
        transaction = bench.outbox.cut(10**6)

    bench.outbox.unassign([0])
    if when == "before it is answered":
        bench.answer(*held)
    if transaction is not None:
        bench.outbox.put_back(transaction, {})

    [(answer, failure)] = bench.told
    assert answer == "gone"
    assert failure is not None
    assert failure.kind is FailureKind.TRANSIENT
    assert bench.cut() == (["kept"], {1: 1})


def test_it_says_whether_something_of_a_partition_is_unanswered() -> None:
    bench = Bench(0, 1)
    held = bench.read(0, 0, "a")
    assert bench.outbox.has_unanswered([0])
    assert not bench.outbox.has_unanswered([1])
    bench.answer(*held)
    assert not bench.outbox.has_unanswered([0, 1])


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "answer", "commit", "abort", "revoke"]), st.integers(0, 2), st.integers(0, 99)
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_whatever_happens_readers_see_each_answer_once_and_the_offsets_say_which(
    steps: list[tuple[str, int, int]],
) -> None:
    """Three partitions, answers in any order, aborts and reassignments; the group reads on from what is committed."""
    bench = Bench(0, 1, 2)
    committed = dict.fromkeys(range(3), 0)
    position = dict.fromkeys(range(3), 0)
    unanswered: list[list[Held]] = []
    visible: Counter[str] = Counter()

    def transact(commits: bool, max_bytes: int) -> None:
        transaction = bench.outbox.cut(max_bytes)
        if transaction is None:
            return
        if not commits:
            bench.outbox.put_back(transaction, {})
            return
        visible.update(values(transaction))
        bench.commit(transaction)
        for partition, offset in transaction.offsets.items():
            assert offset > committed[partition]
            committed[partition] = offset
        # What a reader sees is what the group has done with, no more and no less.
        below = {
            f"{p}/{offset}/{n}" for p in range(3) for offset in range(committed[p]) for n in range(offset % 2 + 1)
        }
        assert visible == Counter(below)

    for step, partition, number in steps:
        if step == "read":
            offset = position[partition]
            position[partition] += 1
            names = [f"{partition}/{offset}/{n}" for n in range(offset % 2 + 1)]
            unanswered.append(bench.read(partition, offset, *names))
        elif step == "answer" and unanswered:
            bench.answer(*unanswered.pop(number % len(unanswered)))
        elif step in ("commit", "abort"):
            transact(step == "commit", max_bytes=1 + number)
        elif step == "revoke":
            bench.outbox.unassign([partition])
            bench.tracker.assign([partition])
            position[partition] = committed[partition]
    for held in unanswered:
        bench.answer(*held)
    for _ in range(len(steps)):
        transact(True, 10**6)
    assert {p: committed[p] for p in range(3)} == position
