"""`worker/encoder/stage.py`: one device, its batches, and what becomes of inputs it cannot do."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError
from schemas.topics import Lane
from worker.encoder import stage as stage_module
from worker.encoder.stage import EncoderStage
from worker.errors import EncoderBrokenError
from worker.scheduler import Scheduler, WaitingInput

from ..fakes import DIM, an_item, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    def __init__(self, *, when_launched: Callable[[int], None] = lambda _: None) -> None:
        self.batches: list[list[int]] = []
        self.dims: list[list[int]] = []
        self.recomputed: list[int] = []
        self.events: list[str] = []
        self._when_launched = when_launched

    def launch(self, batch: Sequence[Sequence[int]], dims: Sequence[int]) -> FakeLaunched:
        number = len(self.batches)
        self.batches.append([ids[0] for ids in batch])
        self.dims.append(list(dims))
        self.events.append(f"launch {number}")
        self._when_launched(number)
        if any(ids[0] == FAILS for ids in batch):
            raise RuntimeError("out of memory")
        vectors = np.stack([vector_of(ids, dim) for ids, dim in zip(batch, dims, strict=True)])
        vectors[[ids[0] in BAD_ROW for ids in batch]] = np.nan
        return FakeLaunched(vectors, lambda: self.events.append(f"wait {number}"))

    def recompute(self, ids: Sequence[int], dim: int) -> NDArray[np.float32]:
        self.recomputed.append(ids[0])
        if ids[0] == RECOMPUTE_FAILS:
            raise RuntimeError("out of memory")
        vector = vector_of(ids, dim)[:dim]
        return vector if ids[0] != NEVER_FINITE else vector * np.float32(np.nan)


class FakeLaunched:
    """A batch that is done."""

    def __init__(self, vectors: NDArray[np.float32], when_waited: Callable[[], None]) -> None:
        self._vectors = vectors
        self._when_waited = when_waited

    def is_done(self) -> bool:
        return True

    def vectors(self) -> NDArray[np.float32]:
        self._when_waited()
        return self._vectors


class FakeDevice(FakeEncoder):
    """Works on its own: a batch is done when it is waited for, and fails only then."""

    def launch(self, batch: Sequence[Sequence[int]], dims: Sequence[int]) -> FakeLaunched:
        failing = [ids for ids in batch if ids[0] == FAILS]
        fine = [ids if ids[0] != FAILS else [0] for ids in batch]
        return _UnderWay(super().launch(fine, dims), fails=bool(failing))


class _UnderWay(FakeLaunched):
    def __init__(self, launched: FakeLaunched, *, fails: bool) -> None:
        self._launched, self._fails = launched, fails

    def is_done(self) -> bool:
        return False

    def vectors(self) -> NDArray[np.float32]:
        vectors = self._launched.vectors()
        if self._fails:
            raise RuntimeError("device-side assert")
        return vectors


class Bench:
    """The stage over a fake encoder; runs in the test's own thread until everything is finished."""

    def __init__(self, encoder: FakeEncoder | None = None, *, max_inputs: int = 512) -> None:
        self.encoder = encoder or FakeEncoder()
        self.scheduler = Scheduler(10_000, max_inputs, bulk_share=0.2, interactive_bulk_seconds=0.05)
        self.finished: list[RequestInFlight] = []
        self.is_current: Callable[[RequestInFlight], bool] = lambda _: True
        self._expected = 0
        self.stage = EncoderStage(
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

    def submit(self, item: RequestInFlight, *markers: int) -> None:
        self._expected += 1
        item.remaining = len(markers)
        self.stage.submit([WaitingInput(item, index, [marker]) for index, marker in enumerate(markers)])

    def compute(self, *markers: int, **changes: Any) -> RequestInFlight:
        """Submit a request of these inputs."""
        item = an_item(["text"] * len(markers), request_id=f"r{self._expected}", **changes)
        self.submit(item, *markers)
        return item

    def run(self) -> None:
        self.stage.run()


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


@pytest.mark.parametrize("encoder", [FakeEncoder, FakeDevice])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_failing_batch_is_halved_down_to_the_input_at_fault_and_its_neighbours_are_answered(
    encoder: type[FakeEncoder], at: int
) -> None:
    bench = Bench(encoder())
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


def test_sixteen_failures_stop_a_stage_whose_device_fails_only_when_waited_for() -> None:
    bench = Bench(FakeDevice())
    for _ in range(16):
        bench.compute(FAILS)
    with pytest.raises(EncoderBrokenError):
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


# --- a device that works on its own -----------------------------------------------------------------------


def test_the_next_batch_is_launched_before_the_previous_one_is_waited_for() -> None:
    bench = Bench(FakeDevice(), max_inputs=2)
    items = [bench.compute(number) for number in range(6)]
    bench.run()
    assert bench.encoder.events == ["launch 0", "launch 1", "wait 0", "launch 2", "wait 1", "wait 2"]
    assert all(holds_vectors_of(item, number) for number, item in enumerate(items))


def test_nothing_is_launched_ahead_while_interactive_traffic_is_about() -> None:
    bench = Bench(FakeDevice(), max_inputs=2)
    items = [bench.compute(number) for number in range(4)]
    interactive = an_item(lane=Lane.INTERACTIVE)
    bench.submit(interactive, 9)
    bench.run()
    assert bench.encoder.batches[0] == [9]
    assert bench.encoder.events == ["launch 0", "wait 0", "launch 1", "wait 1", "launch 2", "wait 2"]
    assert len(bench.finished) == len(items) + 1


def test_interactive_traffic_that_comes_while_a_batch_runs_stops_the_launching_ahead() -> None:
    def comes_with_the_first(number: int) -> None:
        if number == 0:
            bench.submit(an_item(lane=Lane.INTERACTIVE), 9)

    bench = Bench(FakeDevice(when_launched=comes_with_the_first), max_inputs=2)
    for number in range(4):
        bench.compute(number)
    bench.run()
    assert bench.encoder.events[:3] == ["launch 0", "wait 0", "launch 1"]
    assert bench.encoder.batches[1] == [9]


def test_a_stop_finishes_the_batch_that_is_under_way() -> None:
    bench = Bench(FakeDevice(when_launched=lambda _: bench.stage.stop()), max_inputs=1)
    first, second = bench.compute(1), bench.compute(2)
    bench.run()
    assert bench.finished == [first]
    assert bench.encoder.events == ["launch 0", "wait 0"]
    assert second.remaining == 1


class FakeTime:
    """A clock that only the device moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class TimedDevice(FakeDevice):
    """Takes a second a batch, one after the other."""

    def __init__(self, clock: FakeTime) -> None:
        super().__init__()
        self._clock = clock
        self._free_at = clock.now

    def launch(self, batch: Sequence[Sequence[int]], dims: Sequence[int]) -> FakeLaunched:
        self._free_at = done_at = max(self._free_at, self._clock.now) + 1.0

        def advance() -> None:
            self._clock.now = max(self._clock.now, done_at)

        vectors = super().launch(batch, dims).vectors()
        return _UnderWay(FakeLaunched(vectors, advance), fails=False)


def test_a_batch_launched_ahead_is_measured_from_the_moment_the_device_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeTime()
    monkeypatch.setattr(stage_module, "time", clock)
    bench = Bench(TimedDevice(clock), max_inputs=2)
    measured: list[tuple[int, float]] = []
    monkeypatch.setattr(bench.scheduler, "measured", lambda tokens, seconds: measured.append((tokens, seconds)))
    for number in range(8):
        bench.compute(number)
    bench.run()
    assert measured == [(2, 1.0)] * 4
