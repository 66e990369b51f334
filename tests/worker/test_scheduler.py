"""`worker/scheduler.py`: which inputs make up the next batch, whatever comes and in whatever order."""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.topics import Lane
from worker import scheduler as scheduler_module
from worker.scheduler import INTERACTIVE_MEMORY_SECONDS, MOST_PASSED_OVER, Batch, Scheduler, WaitingInput

from .fakes import an_item, waiting_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

BUDGET = 64
MAX_INPUTS = 8
SHARE = 0.2
BULK_SECONDS = 0.05
LENGTHS = st.integers(1, 40) | st.integers(60, 200)


def a_scheduler(budget: int = BUDGET, max_inputs: int = MAX_INPUTS, share: float = SHARE) -> Scheduler:
    return Scheduler(budget, max_inputs, bulk_share=share, interactive_bulk_seconds=BULK_SECONDS)


def inputs_of(lane: Lane, lengths: Sequence[int]) -> list[WaitingInput]:
    return waiting_inputs(an_item(lane=lane), lengths)


def cut(scheduler: Scheduler, now: float = 0.0) -> Batch:
    batch = scheduler.next_batch(now)
    assert batch is not None
    return batch


def drain(scheduler: Scheduler, now: float = 0.0) -> list[Batch]:
    batches = []
    while (batch := scheduler.next_batch(now)) is not None:
        batches.append(batch)
    return batches


# --- whatever comes ---------------------------------------------------------------------------------------


class AnyTraffic(RuleBasedStateMachine):
    """Requests of both lanes come, batches are cut, time goes by, the device is measured: in any order."""

    @initialize(share=st.sampled_from([0.0, 0.2, 0.5, 0.9]), max_inputs=st.sampled_from([1, 3, 8, 512]))
    def start(self, share: float, max_inputs: int) -> None:
        self.scheduler = a_scheduler(share=share, max_inputs=max_inputs)
        self.share, self.max_inputs = share, max_inputs
        self.now, self.seen_at, self.rate = 0.0, float("-inf"), 0.0
        self.waiting: dict[Lane, list[WaitingInput]] = {lane: [] for lane in Lane}
        self.older_ones: dict[WaitingInput, int] = {}
        self.batches_waited: dict[WaitingInput, int] = {}
        self._others_waited_for: list[Batch] = []
        """Batches since one lane last had the device to itself."""

    @rule(lane=st.sampled_from(Lane), lengths=st.lists(LENGTHS, min_size=1, max_size=12))
    def a_request_comes(self, lane: Lane, lengths: list[int]) -> None:
        inputs = inputs_of(lane, lengths)
        self._take_in(lane, inputs)

    @rule(lengths=st.lists(LENGTHS, min_size=65, max_size=80))
    def a_request_of_many_inputs_comes(self, lengths: list[int]) -> None:
        self._take_in(Lane.BULK, inputs_of(Lane.BULK, lengths))

    def _take_in(self, lane: Lane, inputs: list[WaitingInput]) -> None:
        for waiting in inputs:
            self.older_ones[waiting] = len(self.waiting[lane])
            self.batches_waited[waiting] = 0
            self.waiting[lane].append(waiting)
        if lane is Lane.INTERACTIVE:
            self.seen_at = self.now
        self.scheduler.add(inputs, self.now)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.5]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(tokens=st.integers(1, 1000), seconds=st.sampled_from([0.0, 0.01, 0.05, 1.0]))
    def a_batch_is_measured(self, tokens: int, seconds: float) -> None:
        self.scheduler.measured(Lane.BULK, tokens, seconds)
        if seconds > 0:
            rate = tokens / seconds
            self.rate = self.rate + 0.2 * (rate - self.rate) if self.rate else rate

    @precondition(lambda self: len(self.scheduler) == 0)
    @rule()
    def nothing_comes_out_when_nothing_waits(self) -> None:
        assert self.scheduler.next_batch(self.now) is None

    @precondition(lambda self: len(self.scheduler) > 0)
    @rule()
    def a_batch_is_cut(self) -> None:
        both = all(self.waiting.values())
        about = bool(self.waiting[Lane.INTERACTIVE]) or self.now - self.seen_at < INTERACTIVE_MEMORY_SECONDS
        oldest = {lane: waiting[0] for lane, waiting in self.waiting.items() if waiting}
        batch = cut(self.scheduler, self.now)

        assert batch.inputs, "a batch holds something"
        assert oldest[batch.lane] in batch.inputs, "the oldest input of the lane is in"
        budget = BUDGET
        if batch.lane is Lane.BULK and about and self.rate:
            budget = min(BUDGET, max(1, int(self.rate * BULK_SECONDS)))
        longest = max(waiting.tokens for waiting in batch.inputs)
        assert batch.cost_tokens == longest * len(batch.inputs)
        assert batch.cost_tokens <= budget or len(batch.inputs) == 1, "only a single input may exceed the budget"
        assert len(batch.inputs) <= self.max_inputs
        assert [waiting.tokens for waiting in batch.inputs] == sorted(waiting.tokens for waiting in batch.inputs)

        for waiting in batch.inputs:
            assert waiting in self.waiting[batch.lane], "of this lane, waiting, and not given out before"
            self.waiting[batch.lane].remove(waiting)
        for waiting in self.waiting[batch.lane]:
            self.batches_waited[waiting] += 1
            assert self.batches_waited[waiting] <= self.older_ones[waiting], "at most a batch for each older input"
        self._check_shares(batch, both)

    def _check_shares(self, batch: Batch, both: bool) -> None:
        if both and not self._others_waited_for:
            assert batch.lane is Lane.INTERACTIVE, "interactive comes first"
        other = Lane.BULK if batch.lane is Lane.INTERACTIVE else Lane.INTERACTIVE
        if not self.waiting[other]:
            self._others_waited_for = []
            return
        self._others_waited_for.append(batch)
        tokens = {
            lane: [batch.cost_tokens for batch in self._others_waited_for if batch.lane is lane] for lane in Lane
        }
        interactive, bulk = tokens[Lane.INTERACTIVE], tokens[Lane.BULK]
        earned = sum(interactive) * self.share / (1 - self.share)
        most_of_one = max(interactive, default=0) * self.share / (1 - self.share)
        assert earned - most_of_one - 1e-6 <= sum(bulk) <= earned + max(bulk, default=0) + 1e-6

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.scheduler) == sum(map(len, self.waiting.values()))


AnyTraffic.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
test_traffic_of_any_kind = AnyTraffic.TestCase


@given(lengths=st.lists(LENGTHS, min_size=1, max_size=200), budget=st.integers(1, 500))
@settings(deadline=None, max_examples=50)
def test_every_input_comes_out_once(lengths: list[int], budget: int) -> None:
    scheduler = a_scheduler(budget, max_inputs=512)
    inputs = inputs_of(Lane.BULK, lengths)
    scheduler.add(inputs, 0.0)
    out = [waiting for batch in drain(scheduler) for waiting in batch.inputs]
    assert sorted(map(id, out)) == sorted(map(id, inputs))
    assert len(scheduler) == 0


# --- how a batch is cut -----------------------------------------------------------------------------------


def test_nothing_waits_no_batch() -> None:
    scheduler = a_scheduler()
    scheduler.add([], 0.0)
    assert scheduler.next_batch(0.0) is None
    assert len(scheduler) == 0


def test_a_batch_grows_over_the_nearest_in_length_while_the_budget_holds() -> None:
    scheduler = a_scheduler(budget=44)
    scheduler.add(inputs_of(Lane.BULK, [10, 30, 9, 1, 11, 2, 10]), 0.0)
    assert [waiting.tokens for waiting in cut(scheduler).inputs] == [9, 10, 10, 11]


def test_what_room_longer_neighbours_leave_goes_to_shorter_ones() -> None:
    scheduler = a_scheduler(budget=40)
    scheduler.add(inputs_of(Lane.BULK, [10, 30, 9, 1, 11, 2, 10]), 0.0)
    assert [waiting.tokens for waiting in cut(scheduler).inputs] == [2, 9, 10, 10]


def test_an_input_over_the_budget_runs_alone() -> None:
    scheduler = a_scheduler(budget=40)
    scheduler.add(inputs_of(Lane.BULK, [1000, 3, 4]), 0.0)
    assert [[waiting.tokens for waiting in batch.inputs] for batch in drain(scheduler)] == [[1000], [3, 4]]


def test_inputs_of_one_length_leave_in_the_order_they_came() -> None:
    scheduler = a_scheduler(budget=20)
    first, second = inputs_of(Lane.BULK, [10] * 3), inputs_of(Lane.BULK, [10] * 3)
    scheduler.add(first, 0.0)
    scheduler.add(second, 0.0)
    assert [waiting for batch in drain(scheduler) for waiting in batch.inputs] == first + second


def test_a_lone_long_input_is_computed_although_shorter_ones_keep_coming() -> None:
    scheduler = a_scheduler(budget=40)
    for _ in range(5):
        scheduler.add(inputs_of(Lane.BULK, [4] * 20), 0.0)
    long = inputs_of(Lane.BULK, [39])
    scheduler.add(long, 0.0)
    for _ in range(101):
        cut(scheduler)
        scheduler.add(inputs_of(Lane.BULK, [4] * 10), 0.0)
    assert long[0].taken


def lognormal_lengths(count: int) -> list[int]:
    """Lengths as documents have them: most short, some long, 256 at the most."""
    chance = random.Random(20)
    return [max(3, min(256, int(chance.lognormvariate(3.6, 0.9)))) for _ in range(count)]


def overhead(batches: Sequence[Sequence[int]]) -> float:
    """Padded tokens beyond the real ones, as a share of the real ones."""
    return sum(max(batch) * len(batch) for batch in batches) / sum(map(sum, batches)) - 1


def first_come_first_served(lengths: Sequence[int], budget: int) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for tokens in lengths:
        if batches[-1] and max(*batches[-1], tokens) * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(tokens)
    return batches


@pytest.mark.parametrize(("window", "most"), [(8000, 0.02), (1000, 0.10), (250, 0.30)])
def test_padding_is_small_while_a_window_is_kept_full(window: int, most: float) -> None:
    lengths = lognormal_lengths(window + 8000)
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    coming = inputs_of(Lane.BULK, lengths)
    scheduler.add(coming[:window], 0.0)
    at, batches = window, []
    while at < len(coming):
        batch = cut(scheduler)
        batches.append([waiting.tokens for waiting in batch.inputs])
        scheduler.add(coming[at : at + len(batch.inputs)], 0.0)
        at += len(batch.inputs)
    assert overhead(batches) < most
    assert overhead(batches) < overhead(first_come_first_served(lengths, 2048)) / 4


def test_padding_is_small_over_a_whole_backlog_worked_off() -> None:
    lengths = lognormal_lengths(8000)
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, lengths), 0.0)
    batches = [[waiting.tokens for waiting in batch.inputs] for batch in drain(scheduler)]
    assert overhead(batches) < 0.15
    assert overhead(batches) < overhead(first_come_first_served(lengths, 2048)) / 4


# --- lanes ------------------------------------------------------------------------------------------------


def test_interactive_comes_before_bulk_that_waited_longer() -> None:
    scheduler = a_scheduler()
    scheduler.add(inputs_of(Lane.BULK, [10]), 0.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [10]), 5.0)
    assert [batch.lane for batch in drain(scheduler, 5.0)] == [Lane.INTERACTIVE, Lane.BULK]


def test_a_batch_is_of_one_lane() -> None:
    scheduler = a_scheduler(budget=1000, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [10] * 5), 0.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [10] * 5), 0.0)
    assert [len(batch.inputs) for batch in drain(scheduler)] == [5, 5]


def lanes_while_both_wait(share: float, batches: int = 400) -> list[Batch]:
    scheduler = a_scheduler(share=share)
    out = []
    for _ in range(batches):
        scheduler.add(inputs_of(Lane.INTERACTIVE, [8] * 16), 0.0)
        scheduler.add(inputs_of(Lane.BULK, [8] * 16), 0.0)
        out.append(cut(scheduler))
    return out


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_while_both_wait_bulk_keeps_its_share_of_the_padded_tokens_within_one_batch(share: float) -> None:
    batches = lanes_while_both_wait(share)
    total = sum(batch.cost_tokens for batch in batches)
    bulk = sum(batch.cost_tokens for batch in batches if batch.lane is Lane.BULK)
    assert abs(bulk - share * total) <= BUDGET


def test_without_a_share_bulk_waits_while_interactive_does() -> None:
    assert {batch.lane for batch in lanes_while_both_wait(0.0)} == {Lane.INTERACTIVE}


def test_bulk_saves_no_share_up_while_it_has_the_device_to_itself() -> None:
    alone_before, fresh = a_scheduler(), a_scheduler()
    alone_before.add(inputs_of(Lane.BULK, [8] * 160), 0.0)
    for _ in range(20):
        assert cut(alone_before).lane is Lane.BULK
    for scheduler in (alone_before, fresh):
        scheduler.add(inputs_of(Lane.BULK, [8] * 400), 0.0)
        scheduler.add(inputs_of(Lane.INTERACTIVE, [8] * 400), 0.0)
    lanes = [cut(alone_before).lane for _ in range(40)]
    assert lanes == [cut(fresh).lane for _ in range(40)]
    assert lanes.count(Lane.BULK) == 8


# --- while interactive traffic is about -------------------------------------------------------------------


def bulk_beside_interactive(*, measured: tuple[int, float] | None, seen_seconds_ago: float) -> Batch:
    """The bulk batch cut some time after an interactive one was the only traffic of its lane."""
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    if measured is not None:
        scheduler.measured(Lane.BULK, *measured)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8]), 100.0)
    assert cut(scheduler, 100.0).lane is Lane.INTERACTIVE
    scheduler.add(inputs_of(Lane.BULK, [8] * 512), 100.0)
    return cut(scheduler, 100.0 + seen_seconds_ago)


def test_a_bulk_batch_is_cut_to_the_given_device_time() -> None:
    batch = bulk_beside_interactive(measured=(4000, 1.0), seen_seconds_ago=0.5)
    assert batch.cost_tokens == int(4000 * BULK_SECONDS)


def test_a_bulk_batch_is_whole_again_a_second_after_the_last_interactive_input() -> None:
    batch = bulk_beside_interactive(measured=(4000, 1.0), seen_seconds_ago=1.0)
    assert batch.cost_tokens == 2048


def test_before_anything_was_measured_a_bulk_batch_has_the_whole_budget() -> None:
    assert bulk_beside_interactive(measured=None, seen_seconds_ago=0.0).cost_tokens == 2048


def test_a_device_so_slow_that_no_token_fits_still_gets_one_input_at_a_time() -> None:
    assert len(bulk_beside_interactive(measured=(1, 1000.0), seen_seconds_ago=0.0).inputs) == 1


def test_interactive_batches_are_not_cut_but_nothing_is_launched_ahead_either() -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.measured(Lane.BULK, 4000, 1.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8] * 512), 0.0)
    assert cut(scheduler).cost_tokens == 2048
    assert not scheduler.may_launch_ahead(INTERACTIVE_MEMORY_SECONDS - 0.01)
    assert not scheduler.may_launch_ahead(60.0), "some still wait"


def test_a_batch_may_be_launched_ahead_a_second_after_the_last_interactive_input() -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8]), 100.0)
    cut(scheduler, 100.0)
    assert not scheduler.may_launch_ahead(100.9)
    assert scheduler.may_launch_ahead(101.0)


def test_interactive_batches_say_nothing_about_the_speed_of_bulk() -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.measured(Lane.BULK, 4000, 1.0)
    for _ in range(100):
        scheduler.measured(Lane.INTERACTIVE, 8, 1.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8]), 0.0)
    cut(scheduler)
    scheduler.add(inputs_of(Lane.BULK, [8] * 512), 0.0)
    assert cut(scheduler).cost_tokens == int(4000 * BULK_SECONDS)


def test_interactive_inputs_that_wait_are_about_however_long_ago_they_came() -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512, share=0.5)
    scheduler.measured(Lane.BULK, 4000, 1.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8] * 512), 0.0)
    scheduler.add(inputs_of(Lane.BULK, [8] * 512), 0.0)
    assert cut(scheduler, 60.0).lane is Lane.INTERACTIVE
    batch = cut(scheduler, 60.0)
    assert (batch.lane, batch.cost_tokens) == (Lane.BULK, int(4000 * BULK_SECONDS))


def test_a_measurement_moves_the_known_speed_by_a_fifth() -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.measured(Lane.BULK, 4000, 1.0)
    scheduler.measured(Lane.BULK, 8000, 1.0)
    scheduler.measured(Lane.BULK, 8000, 0.0)
    scheduler.add(inputs_of(Lane.INTERACTIVE, [8]), 0.0)
    cut(scheduler)
    scheduler.add(inputs_of(Lane.BULK, [8] * 512), 0.0)
    assert cut(scheduler).cost_tokens == int(4800 * BULK_SECONDS)


def test_without_interactive_traffic_batches_may_be_launched_ahead() -> None:
    scheduler = a_scheduler()
    scheduler.add(inputs_of(Lane.BULK, [8]), 0.0)
    assert scheduler.may_launch_ahead(0.0)


# --- several batches at once ------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "idle_slots", "sizes"), [(100, 2, [4, 4]), (100, 4, [2, 2, 2, 2]), (20, 4, [8])])
def test_what_little_waits_is_shared_out_among_idle_slots_down_to_256_tokens(
    tokens: int, idle_slots: int, sizes: list[int]
) -> None:
    scheduler = a_scheduler(budget=2048, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [tokens] * 8), 0.0)
    out = []
    while (batch := scheduler.next_batch(0.0, max(1, idle_slots - len(out)))) is not None:
        out.append(len(batch.inputs))
    assert out == sizes


def test_of_a_backlog_every_slot_gets_a_whole_batch() -> None:
    scheduler = a_scheduler(budget=100, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [10] * 1000), 0.0)
    batch = scheduler.next_batch(0.0, 8)
    assert batch is not None
    assert batch.cost_tokens == 100


# --- packed batches ---------------------------------------------------------------------------------------


@given(lengths=st.lists(LENGTHS, min_size=1, max_size=100), budget=st.integers(1, 300))
@settings(deadline=None, max_examples=50)
def test_without_padding_a_batch_costs_its_tokens(lengths: list[int], budget: int) -> None:
    scheduler = Scheduler(budget, 512, bulk_share=SHARE, interactive_bulk_seconds=BULK_SECONDS, is_padded=False)
    inputs = inputs_of(Lane.BULK, lengths)
    scheduler.add(inputs, 0.0)
    batches = drain(scheduler)
    for batch in batches:
        assert batch.cost_tokens == sum(waiting.tokens for waiting in batch.inputs)
        assert batch.cost_tokens <= budget or len(batch.inputs) == 1
    assert sorted(id(waiting) for batch in batches for waiting in batch.inputs) == sorted(map(id, inputs))


# --- those whom others pass over --------------------------------------------------------------------------


def passed_over_by_later_generations(generation: int, is_padded: bool, seed: int) -> int:
    """How often the unluckiest of a full window sees later generations, of so many batches each, go first."""
    chance = random.Random(seed)
    scheduler = Scheduler(10_000, 8, bulk_share=SHARE, interactive_bulk_seconds=BULK_SECONDS, is_padded=is_padded)
    passed_over: dict[WaitingInput, int] = {}

    def come(count: int) -> None:
        new = inputs_of(Lane.BULK, [chance.randint(1, 200) for _ in range(count)])
        passed_over.update(dict.fromkeys(new, 0))
        scheduler.add(new, 0.0)

    come(800)
    most = 0
    for _ in range(600):
        batch = cut(scheduler)
        for taken in batch.inputs:
            del passed_over[taken]
        youngest = max(taken.came_after // generation for taken in batch.inputs)
        for left in passed_over:
            passed_over[left] += youngest > left.came_after // generation
        most = max(most, *passed_over.values())
        come(8)
    return most


@pytest.mark.parametrize("is_padded", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_later_generations_pass_nobody_over_more_often_than_is_stated(
    is_padded: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passed_over_by_later_generations(MOST_PASSED_OVER, is_padded, seed) <= MOST_PASSED_OVER
    monkeypatch.setattr(scheduler_module, "MOST_PASSED_OVER", 8)
    assert passed_over_by_later_generations(8, is_padded, seed) <= 8
    # So it would be if length alone decided.
    monkeypatch.setattr(scheduler_module, "MOST_PASSED_OVER", 10**9)
    assert passed_over_by_later_generations(8, is_padded, seed) > 8


def test_a_backlog_that_came_at_once_is_worked_off_by_length_however_long_that_takes() -> None:
    scheduler = a_scheduler(budget=100, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [10, 20] * 2000), 0.0)
    batches = drain(scheduler)
    assert len(batches) > 5 * MOST_PASSED_OVER
    mixed = [batch for batch in batches if len({waiting.tokens for waiting in batch.inputs}) > 1]
    assert len(mixed) <= 2


# --- a device without room --------------------------------------------------------------------------------


def test_after_running_out_of_memory_batches_are_half_of_what_had_no_room_and_grow_back() -> None:
    scheduler = a_scheduler(budget=640, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [10] * 5000), 0.0)
    assert cut(scheduler).cost_tokens == 640
    scheduler.out_of_memory(640)
    assert cut(scheduler).cost_tokens == 320
    for _ in range(32):
        scheduler.measured(Lane.BULK, 320, 1.0)
    assert cut(scheduler).cost_tokens == 640


def test_a_small_batch_is_no_proof_that_there_is_room_again() -> None:
    scheduler = a_scheduler(budget=640, max_inputs=512)
    scheduler.add(inputs_of(Lane.BULK, [10] * 5000), 0.0)
    scheduler.out_of_memory(640)
    for _ in range(1000):
        scheduler.measured(Lane.BULK, 159, 1.0)
    assert cut(scheduler).cost_tokens == 320


def test_the_budget_never_falls_to_nothing() -> None:
    scheduler = a_scheduler()
    scheduler.add(inputs_of(Lane.BULK, [10] * 4), 0.0)
    for _ in range(20):
        scheduler.out_of_memory(1)
    assert len(cut(scheduler).inputs) == 1


def test_inputs_taken_out_of_turn_are_not_held_until_their_turn() -> None:
    scheduler = a_scheduler(budget=1000)
    # Old inputs of every length, and then short ones that leave long before them.
    scheduler.add(inputs_of(Lane.BULK, [1000] * 100), 0.0)
    scheduler.add(inputs_of(Lane.BULK, [1000] + [10] * 3000 + [1000] * 100), 0.0)
    while len(scheduler) > 50:
        cut(scheduler)
    gc.collect()
    held = sum(type(thing) is WaitingInput for thing in gc.get_objects())
    assert held <= 3 * len(scheduler) + 300
