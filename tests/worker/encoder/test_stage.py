"""`worker/encoder/stage.py`: one device, its batches, and what becomes of inputs it cannot do."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError
from schemas.headers import encode_number
from schemas.topics import Lane
from tests.stack.waiting import wait_until
from worker.duplicates import Duplicates
from worker.encoder import stage as stage_module
from worker.encoder.interface import Limits
from worker.encoder.stage import EncoderStage
from worker.errors import DeviceLostError, DeviceMemoryError, EncoderBrokenError
from worker.scheduler import Scheduler, WaitingInput
from worker.vector_cache import VectorCache

from ..fakes import DIM, an_item, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from worker.request import RequestInFlight

pytestmark = pytest.mark.timeout(20)

FAILS, NOT_FINITE, NEVER_FINITE, RECOMPUTE_FAILS = 1000, 1001, 1002, 1003
BAD_ROW = {NOT_FINITE, NEVER_FINITE, RECOMPUTE_FAILS}
MARKERS = 10_000
"""Inputs of the same marker fare the same; a multiple of this added makes them different ones."""


def marker_of(ids: Sequence[int]) -> int:
    return ids[0] % MARKERS


def vector_of(ids: Sequence[int], dim: int) -> NDArray[np.float32]:
    """A unit vector that tells which input it is of, 0 beyond `dim`."""
    vector = np.zeros(DIM, dtype=np.float32)
    vector[:2] = np.cos(marker_of(ids)), np.sin(marker_of(ids))
    vector[dim:] = 0
    return vector


class FakeEncoder:
    """Computes at once; what an input's marker names goes wrong."""

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
        self.batches.append([marker_of(ids) for ids in batch])
        self.dims.append(list(dims))
        self._when_called(number)
        if any(marker_of(ids) == FAILS for ids in batch):
            raise RuntimeError("no such kernel")
        vectors = np.stack([vector_of(ids, dim) for ids, dim in zip(batch, dims, strict=True)])
        vectors[[marker_of(ids) in BAD_ROW for ids in batch]] = np.nan
        return vectors

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        self.recomputed.append(marker_of(ids))
        if marker_of(ids) == RECOMPUTE_FAILS:
            raise RuntimeError("no such kernel")
        vector = vector_of(ids, dim)[:dim]
        return vector if marker_of(ids) != NEVER_FINITE else vector * np.float32(np.nan)


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

    def __init__(
        self, encoder: FakeEncoder | None = None, *, max_inputs: int = 512, cache: VectorCache | None = None
    ) -> None:
        self.encoder = encoder or FakeEncoder()
        self.scheduler = Scheduler(10_000, max_inputs, bulk_share=0.2, interactive_bulk_seconds=0.05)
        self.duplicates = Duplicates(cache)
        self.finished: list[RequestInFlight] = []
        self.is_current: Callable[[RequestInFlight], bool] = lambda _: True
        self.slept: list[float] = []
        self._expected = 0
        self._numbers = itertools.count(1)
        self.stage = self.new_stage()

    def new_stage(self) -> EncoderStage:
        return EncoderStage(
            self.encoder,
            self.scheduler,
            self.duplicates,
            is_current=lambda item: self.is_current(item),
            on_finished=self._finish,
            clock_skew_seconds=1.0,
            sleep=self.slept.append,
        )

    def _finish(self, item: RequestInFlight) -> None:
        self.finished.append(item)
        if len(self.finished) == self._expected:
            self.stage.stop()

    def expect(self, item: RequestInFlight) -> None:
        """Run until this one is finished too."""
        self._expected += 1

    def submit(self, item: RequestInFlight, *markers: int, same: bool = False) -> None:
        """Submit inputs of a request.

        Args:
            item: The request.
            markers: What they are.
            same: Whether those of the same marker are the same input, or each is one of its own.
        """
        self.expect(item)
        item.remaining = len(markers)
        ids = [marker if same else marker + MARKERS * next(self._numbers) for marker in markers]
        self.stage.submit([WaitingInput(item, index, [it]) for index, it in enumerate(ids)])

    def compute(self, *markers: int, same: bool = False, **changes: Any) -> RequestInFlight:
        """Submit a request of these inputs."""
        item = an_item(["text"] * len(markers), request_id=f"r{self._expected}", **changes)
        self.submit(item, *markers, same=same)
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


# --- same inputs ------------------------------------------------------------------------------------------


def test_same_inputs_are_computed_once_and_every_occurrence_is_answered(bench: Bench) -> None:
    one, two, three = (bench.compute(*markers, same=True) for markers in ([1, 2, 1], [2], [3, 1]))
    bench.run()
    assert bench.encoder.batches == [[1, 2, 3]]
    assert holds_vectors_of(one, 1, 2, 1)
    assert holds_vectors_of(two, 2)
    assert holds_vectors_of(three, 3, 1)
    assert sorted(map(id, bench.finished)) == sorted(map(id, [one, two, three]))


def test_what_comes_while_the_same_is_computed_gets_its_vector() -> None:
    late: list[RequestInFlight] = []
    bench = Bench(FakeEncoder(when_called=lambda _: late.append(bench.compute(1, same=True))))
    bench.compute(1, same=True)
    bench.run()
    assert bench.encoder.batches == [[1]]
    assert holds_vectors_of(late[0], 1)


def test_without_a_cache_the_same_is_computed_anew_once_it_is_delivered() -> None:
    bench = Bench(max_inputs=1)
    first = bench.compute(1, same=True)
    bench.run()
    again = bench.stage = bench.new_stage()
    item = bench.compute(1, same=True)
    again.run()
    assert bench.encoder.batches == [[1], [1]]
    assert bench.finished == [first, item]


def test_with_a_cache_a_request_computed_before_is_answered_without_the_device() -> None:
    cache = VectorCache(1 << 20)
    bench = Bench(cache=cache)
    bench.compute(1, NOT_FINITE, same=True)
    bench.run()
    known, partly = (bench.compute(*markers, same=True) for markers in ([1, NOT_FINITE, 1], [2, 1]))
    assert holds_vectors_of(known, 1, NOT_FINITE, 1)
    assert bench.finished[1:] == [known]
    assert partly.remaining == 1
    bench.stage = bench.new_stage()
    bench.submit(an_item(lane=Lane.INTERACTIVE), 1, same=True)
    bench.run()
    assert bench.encoder.batches == [[1, NOT_FINITE], [2]]
    assert holds_vectors_of(partly, 2, 1)


@pytest.mark.parametrize("marker", [FAILS, NEVER_FINITE, RECOMPUTE_FAILS])
def test_what_failed_is_not_kept(marker: int) -> None:
    cache = VectorCache(1 << 20)
    bench = Bench(cache=cache)
    bench.compute(marker)
    bench.run()
    assert len(cache) == 0


def test_an_interactive_input_does_not_wait_for_the_same_one_in_bulk() -> None:
    encoder = Slots(Limits(slots=2, computing=2))
    bench = Bench(encoder)
    bench.compute(1, same=True)
    with bench.running():
        assert encoder.wait_for(under_way=1)
        bench.submit(an_item(lane=Lane.INTERACTIVE), 1, same=True)
        assert encoder.wait_for(under_way=2)
        encoder.end(batches=2)
    assert encoder.batches == [[1], [1]]


def is_over(item: RequestInFlight, bench: Bench, how: str) -> None:
    """End a request in one of three ways."""
    if how == "failed":
        item.fail(RequestError(ErrorCode.INVALID_REQUEST, "no"))
    elif how == "expired":
        item.headers = an_item(headers=[(names.DEADLINE, b"1")]).headers
    else:
        others = bench.is_current
        bench.is_current = lambda other: other is not item and others(other)


WAYS = ["failed", "expired", "its partition left"]


@pytest.mark.parametrize("how", WAYS)
def test_a_follower_takes_the_place_of_a_leader_whose_request_is_over(bench: Bench, how: str) -> None:
    leader, second, third = (bench.compute(1, same=True) for _ in range(3))
    other = bench.compute(2, same=True)
    for item in (leader, second):
        is_over(item, bench, how)
    bench.run()
    assert bench.encoder.batches == [[1, 2]]
    assert holds_vectors_of(third, 1)
    assert holds_vectors_of(other, 2)
    assert sorted(map(id, bench.finished)) == sorted(map(id, [leader, second, third, other]))


@pytest.mark.parametrize("how", WAYS)
def test_a_follower_whose_request_is_over_is_in_nobodys_way(bench: Bench, how: str) -> None:
    leader, follower, last = (bench.compute(1, same=True) for _ in range(3))
    is_over(follower, bench, how)
    bench.run()
    assert holds_vectors_of(leader, 1)
    assert holds_vectors_of(last, 1)
    assert sorted(map(id, bench.finished)) == sorted(map(id, [leader, follower, last]))


@pytest.mark.parametrize("how", WAYS)
def test_leaders_whose_followers_are_all_over_too_are_not_computed(bench: Bench, how: str) -> None:
    for _ in range(3):
        is_over(bench.compute(1, same=True), bench, how)
    bench.run()
    assert bench.encoder.batches == []
    assert len(bench.finished) == 3
    assert len(bench.duplicates) == 0


class FailsOnce(FakeEncoder):
    """Does not do the first batch."""

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        vectors = super().encode(batch, dims)
        if len(self.batches) == 1:
            raise RuntimeError("this once")
        return vectors


def test_a_follower_of_a_failed_leader_is_computed_itself() -> None:
    bench = Bench(FailsOnce())
    leader, second, third = (bench.compute(1, same=True) for _ in range(3))
    bench.run()
    assert error_of(leader).code is ErrorCode.INTERNAL_ERROR
    assert bench.encoder.batches == [[1], [1]]
    assert holds_vectors_of(second, 1)
    assert holds_vectors_of(third, 1)


@pytest.mark.parametrize("how", WAYS)
def test_a_follower_is_not_given_up_with_a_leader_that_was_over_before_it_failed(how: str) -> None:
    bench = Bench(FailsOnce(when_called=lambda number: None if number else is_over(leader, bench, how)))
    leader, follower = (bench.compute(1, same=True) for _ in range(2))
    bench.run()
    assert bench.encoder.batches == [[1], [1]]
    assert holds_vectors_of(follower, 1)
    assert len(bench.finished) == 2


@pytest.mark.parametrize("marker", [FAILS, NEVER_FINITE, RECOMPUTE_FAILS])
def test_each_of_the_same_inputs_at_fault_fails_under_its_own_id(bench: Bench, marker: int) -> None:
    items = [bench.compute(1, marker, same=True) for _ in range(5)]
    bench.run()
    assert [(error_of(item).request_id, error_of(item).index) for item in items] == [
        (f"r{number}", 1) for number in range(5)
    ]
    assert len(bench.finished) == 5
    assert len(bench.duplicates) == 0


@pytest.mark.parametrize("marker", [FAILS, NEVER_FINITE])
def test_one_input_at_fault_in_many_requests_is_one_failure_and_stops_nothing(marker: int) -> None:
    bench = Bench(max_inputs=1)
    items = [bench.compute(*markers, same=True) for number in range(40) for markers in ([marker], [number])]
    is_over(items[4], bench, "failed")
    bench.run()
    assert len(bench.finished) == 80
    assert all(item.error is not None for item in items[::2])
    assert all(item.error is None for item in items[1::2])


def test_a_follower_is_recomputed_when_its_leaders_request_failed_meanwhile(bench: Bench) -> None:
    leader = bench.compute(NEVER_FINITE, NOT_FINITE, same=True)
    follower = bench.compute(NOT_FINITE, same=True)
    bench.run()
    assert leader.error is not None
    assert bench.encoder.recomputed == [NEVER_FINITE, NOT_FINITE]
    assert holds_vectors_of(follower, NOT_FINITE)
    assert len(bench.finished) == 2


@given(
    requests=st.lists(
        st.tuples(
            st.lists(st.sampled_from([1, 2, 3, FAILS, NOT_FINITE, NEVER_FINITE]), min_size=1, max_size=5),
            st.sampled_from(Lane),
            st.sampled_from([2, DIM]),
            st.sampled_from([None, *WAYS]),
        ),
        min_size=1,
        max_size=30,
    ),
    max_inputs=st.integers(1, 6),
    cache_bytes=st.sampled_from([None, 1000, 1 << 20]),
)
@settings(deadline=None, max_examples=200)
def test_whatever_comes_and_fails_every_request_is_finished_once_with_the_vectors_of_its_own_inputs(
    requests: list[tuple[list[int], Lane, int, str | None]], max_inputs: int, cache_bytes: int | None
) -> None:
    bench = Bench(max_inputs=max_inputs, cache=None if cache_bytes is None else VectorCache(cache_bytes))
    items = []
    for markers, lane, dim, over in requests:
        items.append(bench.compute(*markers, same=True, lane=lane, dim=dim))
        if over is not None:
            is_over(items[-1], bench, over)
    bench.run()
    assert sorted(map(id, bench.finished)) == sorted(map(id, items))
    assert len(bench.duplicates) == 0
    for item, (markers, _, _, over) in zip(items, requests, strict=True):
        assert item.remaining == 0
        if over is None:
            at_fault = {FAILS, NEVER_FINITE} & set(markers)
            assert holds_vectors_of(item, *markers) != bool(at_fault)


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


def test_nothing_is_launched_ahead_while_interactive_traffic_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow this machine is, no time passes.
    monkeypatch.setattr(stage_module, "time", FakeTime())
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


@pytest.mark.parametrize("same", [False, True])
def test_requests_whose_inputs_fail_and_succeed_in_several_slots_are_each_finished_once(same: bool) -> None:
    bench = Bench(FakeEncoder(limits=Limits(slots=4, computing=4)), max_inputs=3)
    items = [
        bench.compute(*[FAILS if (number + index) % 37 == 0 else index for index in range(7)], same=same)
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
    monkeypatch.setattr(bench.scheduler, "measured", lambda _lane, _tokens, seconds: measured.append(seconds))
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


# --- trouble of the device ---------------------------------------------------------------------------------


class NoRoomAtFirst(FakeEncoder):
    """Somebody else holds the device's memory for so many calls."""

    def __init__(self, calls: int, *, lost_then: bool = False) -> None:
        super().__init__()
        self._calls, self._lost_then = calls, lost_then

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        vectors = super().encode(batch, dims)
        if len(self.batches) <= self._calls:
            raise DeviceMemoryError("no room")
        if self._lost_then:
            raise DeviceLostError("CUDA error: device-side assert triggered")
        return vectors


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_one_input_without_room_is_tried_again_ever_later(calls: int) -> None:
    bench = Bench(NoRoomAtFirst(calls))
    item = bench.compute(1)
    bench.run()
    assert holds_vectors_of(item, 1)
    assert len(bench.slept) == calls
    assert all(0.05 * 2**number <= seconds <= 0.1 * 2**number for number, seconds in enumerate(bench.slept))


def test_one_input_that_never_has_room_fails_alone_and_its_neighbours_are_answered() -> None:
    bench = Bench(RoomFor(0))
    item = bench.compute(1)
    bench.run()
    assert error_of(item).code is ErrorCode.INTERNAL_ERROR
    assert len(bench.slept) == 3
    assert bench.encoder.batches == [[1]] * 4


def test_a_request_that_expires_while_room_is_waited_for_is_not_computed() -> None:
    bench = Bench(NoRoomAtFirst(1))
    item = bench.compute(1, headers=[(names.DEADLINE, encode_number(int(time.time() * 1000) - 900))])
    bench.stage._sleep = lambda _: setattr(bench.stage, "_clock_skew_ms", 0.0)
    bench.run()
    assert error_of(item).code is ErrorCode.TIMEOUT
    assert bench.encoder.batches == [[1]]


class LosesTheDevice(FakeEncoder):
    """What fails here takes the device along."""

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        try:
            return super().encode(batch, dims)
        except RuntimeError as error:
            raise DeviceLostError("CUDA error: device-side assert triggered") from error

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        try:
            return super().recompute(ids, dim)
        except RuntimeError as error:
            raise DeviceLostError("CUDA error: device-side assert triggered") from error


@pytest.mark.parametrize("marker", [FAILS, RECOMPUTE_FAILS])
def test_a_lost_device_ends_the_stage_and_answers_nobody_wrongly(marker: int) -> None:
    bench = Bench(LosesTheDevice())
    bench.compute(1, marker)
    bench.compute(2)
    with pytest.raises(DeviceLostError):
        bench.run()
    assert all(item.error is None for item in bench.finished)
    assert len(bench.encoder.batches) == 1


@pytest.mark.parametrize("encoder", [NoRoomAtFirst(1, lost_then=True), NoRoomAtFirst(3, lost_then=True)])
def test_a_device_lost_while_room_was_sought_ends_the_stage_as_well(encoder: FakeEncoder) -> None:
    bench = Bench(encoder)
    bench.compute(1, 2)
    with pytest.raises(DeviceLostError):
        bench.run()
    assert bench.finished == []


# --- deadlines ---------------------------------------------------------------------------------------------


def test_a_deadline_that_passed_while_waiting_is_noticed_before_a_batch_is_cut() -> None:
    bench = Bench(max_inputs=2)
    past = [(names.DEADLINE, encode_number(int(time.time() * 1000) - 5000))]
    first_late, first, second_late, second = (
        bench.compute(number, headers=past if number % 2 else []) for number in (1, 2, 3, 4)
    )
    bench.run()
    assert [error_of(item).code for item in (first_late, second_late)] == [ErrorCode.TIMEOUT] * 2
    # Batches cut first and sorted out afterwards would have been half empty.
    assert bench.encoder.batches == [[2, 4]]
    assert (first.error, second.error) == (None, None)


def test_the_same_input_of_a_request_that_has_not_expired_is_computed_in_its_place() -> None:
    bench = Bench()
    late = bench.compute(1, same=True, headers=[(names.DEADLINE, encode_number(int(time.time() * 1000) - 5000))])
    follows = bench.compute(1, same=True)
    bench.run()
    assert error_of(late).code is ErrorCode.TIMEOUT
    assert holds_vectors_of(follows, 1)
    assert bench.encoder.batches == [[1]]
