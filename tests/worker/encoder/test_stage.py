"""`worker/encoder/stage.py`: one device, its batches, and what becomes of inputs it cannot do."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError
from schemas.topics import Lane
from tests.stack.waiting import wait_until
from worker.encoder import stage as stage_module
from worker.encoder.interface import Limits
from worker.encoder.stage import EncoderStage
from worker.errors import DeviceMemoryError, EncoderBrokenError
from worker.scheduler import Scheduler, WaitingInput

from ..fakes import DIM, an_item, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from worker.request import RequestInFlight

pytestmark = pytest.mark.timeout(20)

FAILS, NOT_FINITE, NEVER_FINITE, RECOMPUTE_FAILS = 1000, 1001, 1002, 1003
BAD_ROW = {NOT_FINITE, NEVER_FINITE, RECOMPUTE_FAILS}


def vector_of(ids: Sequence[int], dim: int) -> NDArray[np.float32]:
    """A unit vector that tells which input it is of, 0 beyond `dim`."""
    vector = np.zeros(DIM, dtype=np.float32)
    vector[:2] = np.cos(ids[0]), np.sin(ids[0])
    vector[dim:] = 0
    return vector


class FakeEncoder:
    """Computes at once; what an input's first token names goes wrong."""

    def __init__(self, *, when_called: Callable[[int], None] = lambda _: None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.batches: list[list[int]] = []
        self.dims: list[list[int]] = []
        self.recomputed: list[int] = []
        self._when_called = when_called

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        number = len(self.batches)
        self.batches.append([ids[0] for ids in batch])
        self.dims.append(list(dims))
        self._when_called(number)
        if any(ids[0] == FAILS for ids in batch):
            raise RuntimeError("no such kernel")
        vectors = np.stack([vector_of(ids, dim) for ids, dim in zip(batch, dims, strict=True)])
        vectors[[ids[0] in BAD_ROW for ids in batch]] = np.nan
        return vectors

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        self.recomputed.append(ids[0])
        if ids[0] == RECOMPUTE_FAILS:
            raise RuntimeError("no such kernel")
        vector = vector_of(ids, dim)[:dim]
        return vector if ids[0] != NEVER_FINITE else vector * np.float32(np.nan)


class RoomFor(FakeEncoder):
    """A device without room for more than so many inputs at once."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.room = inputs

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        vectors = super().encode(batch, dims)
        if len(batch) > self.room:
            raise DeviceMemoryError("no room")
        return vectors


class Slots(FakeEncoder):
    """Takes several batches at once, and is not done with any before it is told."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits=limits, when_called=self._wait)
        self._may_end = threading.Semaphore(0)
        self._taken = threading.Condition()
        self._under_way = self.most_under_way = 0

    def _wait(self, number: int) -> None:
        with self._taken:
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
            self._taken.notify_all()
        assert self._may_end.acquire(timeout=10)
        with self._taken:
            self._under_way -= 1
            self._taken.notify_all()

    def wait_for(self, under_way: int) -> bool:
        """Whether so many batches come to be under way."""
        with self._taken:
            return self._taken.wait_for(lambda: self._under_way == under_way, 10)

    def wait_until_called(self, times: int) -> bool:
        """Whether so many batches come to be taken, counted from the start."""
        with self._taken:
            return self._taken.wait_for(lambda: len(self.batches) == times, 10)

    def end(self, batches: int) -> None:
        self._may_end.release(batches)


class Bench:
    """The stage over a fake encoder; runs in the test's own thread until everything is finished."""

    def __init__(self, encoder: FakeEncoder | None = None, *, max_inputs: int = 512) -> None:
        self.encoder = encoder or FakeEncoder()
        self.scheduler = Scheduler(10_000, max_inputs, bulk_share=0.2, interactive_bulk_seconds=0.05)
        self.finished: list[RequestInFlight] = []
        self.is_current: Callable[[RequestInFlight], bool] = lambda _: True
        self._expected = 0
        self.stage = self.new_stage()

    def new_stage(self) -> EncoderStage:
        return EncoderStage(
            self.encoder,
            self.scheduler,
            is_current=lambda item: self.is_current(item),
            on_finished=self._finish,
            clock_skew_seconds=1.0,
        )

    def _finish(self, item: RequestInFlight) -> None:
        self.finished.append(item)
        if len(self.finished) == self._expected:
            self.stage.stop()

    def expect(self, item: RequestInFlight) -> None:
        """Run until this one is finished too."""
        self._expected += 1

    def submit(self, item: RequestInFlight, *markers: int) -> None:
        self.expect(item)
        item.remaining = len(markers)
        self.stage.submit([WaitingInput(item, index, [marker]) for index, marker in enumerate(markers)])

    def compute(self, *markers: int, **changes: Any) -> RequestInFlight:
        """Submit a request of these inputs."""
        item = an_item(["text"] * len(markers), request_id=f"r{self._expected}", **changes)
        self.submit(item, *markers)
        return item

    def run(self) -> None:
        self.stage.run()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Every slot in a thread of its own."""
        threads = [threading.Thread(target=self.stage.run) for _ in range(self.encoder.limits.slots)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def holds_vectors_of(item: RequestInFlight, *markers: int) -> bool:
    expected = np.stack([vector_of([marker], item.dim)[: item.dim] for marker in markers])
    return item.error is None and bool(np.array_equal(item.vectors, expected))


# --- all is well ------------------------------------------------------------------------------------------


def test_the_inputs_of_several_requests_share_a_batch_and_each_gets_its_own_vectors(bench: Bench) -> None:
    one, two = bench.compute(1, 2, 3), bench.compute(4, 5)
    bench.run()
    assert bench.encoder.batches == [[1, 2, 3, 4, 5]]
    assert holds_vectors_of(one, 1, 2, 3)
    assert holds_vectors_of(two, 4, 5)
    assert sorted(map(id, bench.finished)) == sorted([id(one), id(two)])


def test_a_request_that_spans_several_batches_is_finished_once_with_its_vectors_in_order() -> None:
    bench = Bench(max_inputs=2)
    item = bench.compute(*range(7))
    bench.run()
    assert [len(batch) for batch in bench.encoder.batches] == [2, 2, 2, 1]
    assert bench.finished == [item]
    assert holds_vectors_of(item, *range(7))


def test_each_input_is_computed_to_the_length_its_request_asks_for(bench: Bench) -> None:
    short, native = bench.compute(1, dim=2), bench.compute(2)
    bench.run()
    assert bench.encoder.dims == [[2, DIM]]
    assert short.vectors.shape == (1, 2)
    assert holds_vectors_of(short, 1)
    assert holds_vectors_of(native, 2)


def test_an_idle_stage_starts_as_soon_as_something_comes() -> None:
    bench = Bench()
    thread = threading.Thread(target=bench.run)
    thread.start()
    item = bench.compute(1)
    thread.join(10)
    assert not thread.is_alive()
    assert bench.finished == [item]


def test_a_stop_ends_an_idle_stage(bench: Bench) -> None:
    bench.stage.stop()
    bench.run()
    assert bench.encoder.batches == []


# --- what is not computed ---------------------------------------------------------------------------------


def test_an_input_whose_request_failed_meanwhile_is_left_out(bench: Bench) -> None:
    failed, fine = bench.compute(1, 2), bench.compute(3)
    failed.fail(RequestError(ErrorCode.INVALID_REQUEST, "no"))
    bench.run()
    assert bench.encoder.batches == [[3]]
    assert sorted(map(id, bench.finished)) == sorted([id(failed), id(fine)])


def test_an_input_of_a_partition_that_left_is_left_out(bench: Bench) -> None:
    stale, fine = bench.compute(1, 2), bench.compute(3)
    bench.is_current = lambda item: item is not stale
    bench.run()
    assert bench.encoder.batches == [[3]]
    assert stale.error is None
    assert sorted(map(id, bench.finished)) == sorted([id(stale), id(fine)])


def test_an_expired_input_is_left_out_and_says_so(bench: Bench) -> None:
    now_ms = int(time.time() * 1000)
    late = an_item(headers=[(names.DEADLINE, str(now_ms - 5000).encode())])
    in_time = an_item(headers=[(names.DEADLINE, str(now_ms + 60_000).encode())])
    bench.submit(late, 1)
    bench.submit(in_time, 2)
    bench.run()
    assert bench.encoder.batches == [[2]]
    assert error_of(late).code is ErrorCode.TIMEOUT
    assert holds_vectors_of(in_time, 2)


def test_a_batch_of_nothing_wanted_is_not_launched(bench: Bench) -> None:
    bench.compute(1, 2)
    bench.is_current = lambda _: False
    bench.run()
    assert bench.encoder.batches == []
    assert len(bench.finished) == 1


def test_once_an_input_failed_the_rest_of_its_request_is_left_out() -> None:
    bench = Bench(max_inputs=1)
    item = bench.compute(FAILS, 1, 2)
    bench.run()
    assert bench.encoder.batches == [[FAILS]]
    assert bench.finished == [item]


# --- a batch that fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_failing_batch_is_halved_down_to_the_input_at_fault_and_its_neighbours_are_answered(
    bench: Bench, at: int
) -> None:
    markers = [FAILS if number == at else number for number in range(8)]
    items = [bench.compute(marker) for marker in markers]
    bench.run()
    for item, marker in zip(items, markers, strict=True):
        if marker == FAILS:
            error = error_of(item)
            assert (error.code, error.index, error.request_id) == (ErrorCode.INTERNAL_ERROR, 0, f"r{at}")
        else:
            assert holds_vectors_of(item, marker)
    assert len(bench.finished) == 8
    # 8, 4 + 4, 2 + 2, 1 + 1: two launches a level.
    assert len(bench.encoder.batches) == 7


def test_the_error_of_an_input_at_fault_names_it_and_carries_the_metadata(bench: Bench) -> None:
    item = an_item(["a", "b", "c"], request_id="mine", metadata={"doc": 7})
    bench.submit(item, 1, FAILS, 2)
    bench.run()
    error = error_of(item)
    assert (error.index, error.param, error.request_id, error.metadata) == (1, "input", "mine", {"doc": 7})
    assert "input[1]" in error.message
    assert bench.finished == [item]


def test_several_inputs_at_fault_are_all_found(bench: Bench) -> None:
    markers = [FAILS if number % 5 == 2 else number for number in range(40)]
    items = [bench.compute(marker) for marker in markers]
    bench.run()
    assert [item.error is not None for item in items] == [marker == FAILS for marker in markers]


def test_fifteen_failures_in_a_row_are_theirs() -> None:
    bench = Bench(max_inputs=1)
    items = [bench.compute(FAILS) for _ in range(15)] + [bench.compute(1)] + [bench.compute(FAILS) for _ in range(15)]
    bench.run()
    assert len(bench.finished) == len(items)


@pytest.mark.parametrize("marker", [FAILS, NEVER_FINITE, RECOMPUTE_FAILS])
@pytest.mark.parametrize("max_inputs", [1, 512])
def test_sixteen_failures_in_a_row_are_ours_and_stop_the_stage(marker: int, max_inputs: int) -> None:
    bench = Bench(max_inputs=max_inputs)
    for _ in range(16):
        bench.compute(marker)
    with pytest.raises(EncoderBrokenError, match="16 requests in a row"):
        bench.run()
    assert len(bench.finished) == 15


@pytest.mark.parametrize("marker", [FAILS, NEVER_FINITE, RECOMPUTE_FAILS])
@pytest.mark.parametrize("max_inputs", [1, 512])
def test_one_request_of_many_failing_inputs_is_one_failure_and_stops_nothing(marker: int, max_inputs: int) -> None:
    bench = Bench(max_inputs=max_inputs)
    poison = bench.compute(*[marker] * 40)
    neighbour = bench.compute(1)
    bench.run()
    assert set(map(id, bench.finished)) == {id(poison), id(neighbour)}
    assert poison.error is not None
    assert holds_vectors_of(neighbour, 1)


def test_an_input_that_float32_saved_ends_a_row_of_failures() -> None:
    bench = Bench(max_inputs=1)
    for marker in [FAILS] * 10 + [NOT_FINITE] + [FAILS] * 10:
        bench.compute(marker)
    bench.run()
    assert len(bench.finished) == 21


# --- vectors that are not finite --------------------------------------------------------------------------


def test_a_row_that_is_not_finite_is_computed_once_more_and_only_that_row(bench: Bench) -> None:
    item = bench.compute(1, NOT_FINITE, 2)
    bench.run()
    assert bench.encoder.recomputed == [NOT_FINITE]
    assert holds_vectors_of(item, 1, NOT_FINITE, 2)
    assert bench.finished == [item]


@pytest.mark.parametrize("marker", [NEVER_FINITE, RECOMPUTE_FAILS])
def test_a_row_that_stays_so_is_our_fault_and_harms_no_neighbour(bench: Bench, marker: int) -> None:
    at_fault, neighbour = bench.compute(1, marker), bench.compute(2)
    bench.run()
    error = error_of(at_fault)
    assert (error.code, error.index) == (ErrorCode.INTERNAL_ERROR, 1)
    assert bench.encoder.recomputed == [marker]
    assert holds_vectors_of(neighbour, 2)
    assert len(bench.finished) == 2


# --- a device without room --------------------------------------------------------------------------------


def test_a_batch_without_room_is_halved_until_it_fits_and_loses_nothing() -> None:
    bench = Bench(RoomFor(3))
    items = [bench.compute(number) for number in range(10)]
    bench.run()
    assert all(holds_vectors_of(item, number) for number, item in enumerate(items))
    assert [len(batch) for batch in bench.encoder.batches] == [10, 5, 2, 3, 5, 2, 3]


def test_after_that_batches_are_half_as_large_and_grow_back() -> None:
    encoder = RoomFor(40)
    bench = Bench(encoder)
    bench.scheduler = Scheduler(64, 512, bulk_share=0.2, interactive_bulk_seconds=0.05)
    bench.stage = bench.new_stage()
    items = [bench.compute(number % 500) for number in range(64 + 2000)]
    bench.run()
    assert len(bench.finished) == len(items)
    assert not any(item.error for item in items)
    sizes = [len(batch) for batch in encoder.batches]
    assert sizes[:5] == [64, 32, 32, 32, 33]
    assert max(sizes[1:]) == 41, "it grows until there is no room again"


def test_an_input_for_which_there_is_no_room_at_all_is_given_up_and_its_neighbours_are_not() -> None:
    encoder = RoomFor(0)
    bench = Bench(encoder)
    item = bench.compute(1)
    bench.run()
    assert error_of(item).code is ErrorCode.INTERNAL_ERROR


# --- several batches at once ------------------------------------------------------------------------------


def test_as_many_batches_are_computed_side_by_side_as_there_are_slots() -> None:
    encoder = Slots(Limits(slots=3, computing=3))
    bench = Bench(encoder, max_inputs=2)
    item = bench.compute(*range(6))
    with bench.running():
        assert encoder.wait_for(under_way=3)
        encoder.end(batches=3)
    assert holds_vectors_of(item, *range(6))
    assert bench.finished == [item]


def test_what_little_waits_is_shared_out_among_the_idle_slots() -> None:
    encoder = Slots(Limits(slots=2, computing=2))
    bench = Bench(encoder)
    item = an_item(["text"] * 4)
    item.remaining = 4
    bench.expect(item)
    bench.stage.submit([WaitingInput(item, index, [index] * 200) for index in range(4)])
    with bench.running():
        assert encoder.wait_for(under_way=2)
        encoder.end(batches=2)
    assert sorted(map(len, encoder.batches)) == [2, 2]


def test_the_next_batch_is_launched_while_the_device_is_at_one() -> None:
    encoder = Slots(Limits(slots=2, computing=1))
    bench = Bench(encoder, max_inputs=2)
    items = [bench.compute(number) for number in range(6)]
    with bench.running():
        assert encoder.wait_for(under_way=2)
        encoder.end(batches=3)
    assert len(bench.finished) == len(items)


def test_nothing_is_launched_ahead_while_interactive_traffic_is_about() -> None:
    encoder = Slots(Limits(slots=2, computing=1))
    bench = Bench(encoder, max_inputs=2)
    for number in range(4):
        bench.compute(number)
    bench.submit(an_item(lane=Lane.INTERACTIVE), 9)
    with bench.running():
        for times in range(1, 4):
            assert encoder.wait_until_called(times)
            encoder.end(batches=1)
    assert encoder.batches[0] == [9]
    assert encoder.most_under_way == 1


def test_a_slot_that_is_idle_takes_what_comes_while_others_are_at_work() -> None:
    encoder = Slots(Limits(slots=2, computing=2))
    bench = Bench(encoder)
    bench.compute(1)
    with bench.running():
        assert encoder.wait_for(under_way=1)
        bench.submit(an_item(lane=Lane.INTERACTIVE), 9)
        assert encoder.wait_for(under_way=2)
        encoder.end(batches=2)
    assert encoder.batches == [[1], [9]]


def test_a_stop_finishes_the_batch_that_is_under_way(bench: Bench) -> None:
    bench = Bench(FakeEncoder(when_called=lambda _: bench.stage.stop()), max_inputs=1)
    first, second = bench.compute(1), bench.compute(2)
    bench.run()
    assert bench.finished == [first]
    assert second.remaining == 1


def test_requests_whose_inputs_fail_and_succeed_in_several_slots_are_each_finished_once() -> None:
    bench = Bench(FakeEncoder(limits=Limits(slots=4, computing=4)), max_inputs=3)
    items = [
        bench.compute(*[FAILS if (number + index) % 37 == 0 else index for index in range(7)])
        for number in range(150)
    ]
    with bench.running():
        pass
    assert sorted(map(id, bench.finished)) == sorted(map(id, items))
    assert all(item.remaining == 0 for item in items)


class FakeTime:
    """A clock that only the device moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("limits", "seconds"), [(Limits(slots=2, computing=1), 1.0), (Limits(slots=2, computing=2), 2.0)]
)
def test_a_batch_launched_ahead_is_measured_from_the_moment_the_device_is_free(
    limits: Limits, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeTime()
    monkeypatch.setattr(stage_module, "time", clock)
    encoder = Slots(limits)
    bench = Bench(encoder, max_inputs=1)
    measured: list[float] = []
    monkeypatch.setattr(bench.scheduler, "measured", lambda _, seconds: measured.append(seconds))
    bench.compute(1)
    bench.compute(2)
    with bench.running():
        # Both are launched at 100; the device is done with one at 101 and with the other at 102.
        assert encoder.wait_for(under_way=2)
        for _ in range(2):
            clock.now += 1.0
            encoder.end(batches=1)
            wait_until(lambda: len(measured) == int(clock.now - 100), "a measurement")
    assert measured == [1.0, seconds]
