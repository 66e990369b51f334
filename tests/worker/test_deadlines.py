"""`worker/deadlines.py`: the inputs whose deadline has passed, found among all that wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas import headers as names
from schemas.headers import encode_number
from schemas.topics import Lane
from worker.deadlines import Deadlines
from worker.scheduler import Scheduler, WaitingInput

from .fakes import an_item, waiting_inputs


def inputs_by(deadline_ms: int | None, *lengths: int, lane: Lane = Lane.BULK) -> list[WaitingInput]:
    headers = [] if deadline_ms is None else [(names.DEADLINE, encode_number(deadline_ms))]
    return waiting_inputs(an_item(["text"] * len(lengths), lane=lane, headers=headers), lengths)


DEADLINES = st.none() | st.integers(0, 100)
REQUESTS = st.lists(st.tuples(DEADLINES, st.lists(st.integers(1, 30), min_size=1, max_size=4)), max_size=30)


@given(REQUESTS, st.lists(st.integers(0, 110), max_size=8), st.integers(1, 60))
def test_no_batch_holds_an_input_whose_deadline_passed_before_it_was_cut_and_none_is_lost(
    requests: list[tuple[int | None, list[int]]], times: list[int], budget: int
) -> None:
    scheduler = Scheduler(budget, 8, bulk_share=0.2, interactive_bulk_seconds=0.05)
    all_inputs: list[WaitingInput] = []
    for number, (deadline, lengths) in enumerate(requests):
        inputs = inputs_by(deadline, *lengths, lane=list(Lane)[number % 2])
        scheduler.add(inputs, 0.0)
        all_inputs += inputs
    expired: list[WaitingInput] = []
    cut: list[WaitingInput] = []
    for now in sorted(times):
        expired += scheduler.expired(now)
        batch = scheduler.next_batch(0.0)
        if batch is not None:
            for waiting in batch.inputs:
                deadline_ms = waiting.item.headers.deadline_ms
                assert deadline_ms is None or deadline_ms >= now
            cut += batch.inputs
        assert len(scheduler) == len(all_inputs) - len(expired) - len(cut)
    while (batch := scheduler.next_batch(0.0)) is not None:
        cut += batch.inputs
    assert sorted(map(id, [*cut, *expired])) == sorted(map(id, all_inputs))
    assert all((waiting.item.headers.deadline_ms or 0) < max(times) for waiting in expired)


def test_what_was_taken_is_not_told_of_when_its_deadline_passes() -> None:
    deadlines = Deadlines()
    inputs = inputs_by(10, 1, 1, 1)
    deadlines.add(inputs, 3)
    inputs[1].taken = True
    assert deadlines.passed(10) == []
    assert deadlines.passed(11) == [inputs[0], inputs[2]]
    assert deadlines.passed(11) == []


def test_what_was_taken_long_ago_is_not_held_until_its_deadline() -> None:
    deadlines = Deadlines()
    for _ in range(2000):
        inputs = inputs_by(10**12, 1)
        deadlines.add(inputs, 1)
        inputs[0].taken = True
    assert len(deadlines) < 300


def test_without_a_deadline_nothing_is_held() -> None:
    deadlines = Deadlines()
    deadlines.add(inputs_by(None, 1), 1)
    assert len(deadlines) == 0


def test_an_input_that_was_dropped_may_come_again() -> None:
    scheduler = Scheduler(10, 8, bulk_share=0.2, interactive_bulk_seconds=0.05)
    inputs = inputs_by(10, 3)
    scheduler.add(inputs, 0.0)
    assert scheduler.expired(11) == inputs
    scheduler.add(inputs, 0.0)
    batch = scheduler.next_batch(0.0)
    assert batch is not None
    assert batch.inputs == inputs
