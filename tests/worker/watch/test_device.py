"""`worker/watch/device.py`: the device, measured from outside."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from worker.encoder.interface import Limits
from worker.errors import DeviceMemoryError
from worker.watch import device as device_module
from worker.watch.device import MeasuredEncoder
from worker.watch.samples import Told

BATCH = [[1, 2, 3], [4]]


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(device_module, "time", clock)
    return clock


class Device:
    """Takes as long as it is told."""

    def __init__(self, clock: Clock, limits: Limits | None = None, error: Exception | None = None) -> None:
        self.limits = limits or Limits()
        self._clock = clock
        self._error = error
        self.seconds = 2.0

    def encode(self, batch: object, dims: object, unpooled: object = ()) -> np.ndarray:
        self._clock.now += self.seconds
        if self._error is not None:
            raise self._error
        return np.zeros((2, 4), dtype=np.float32)

    def recompute(self, ids: object, dim: int, unpooled: int = 0) -> np.ndarray:
        self._clock.now += self.seconds
        return np.zeros(dim, dtype=np.float32)


def numbers(encoder: MeasuredEncoder, now: float) -> dict[str, float]:
    return {s.name: s.value.sum if isinstance(s.value, Told) else s.value for s in encoder.samples(now)}


@pytest.mark.parametrize(("is_padded", "tokens"), [(True, 6), (False, 4)])
def test_a_batch_counts_with_its_time_its_tokens_and_how_full_it_was(
    clock: Clock, is_padded: bool, tokens: int
) -> None:
    encoder = MeasuredEncoder(Device(clock, Limits(is_padded=is_padded)), 8)

    assert encoder.encode(BATCH, [4, 4]).shape == (2, 4)

    assert numbers(encoder, clock.now) == {
        "batch_budget_tokens": 8,
        "batch_fill_ratio": tokens / 8,
        "batch_duration_seconds": 2.0,
        "batch_tokens_total": tokens,
        "failed_batches_total": 0,
        "device_busy_seconds_total": 2.0,
    }


def test_the_slowest_batch_is_remembered(clock: Clock) -> None:
    device = Device(clock)
    encoder = MeasuredEncoder(device, 8)
    for seconds in (1.0, 3.0, 2.0):
        device.seconds = seconds
        encoder.encode(BATCH, [4, 4])
    assert encoder.slowest_seconds == 3.0


def test_a_batch_that_fails_counts_as_failed_and_keeps_its_error(clock: Clock) -> None:
    encoder = MeasuredEncoder(Device(clock, error=DeviceMemoryError("full")), 8)

    with pytest.raises(DeviceMemoryError, match="full"):
        encoder.encode(BATCH, [4, 4])

    told = numbers(encoder, clock.now)
    assert told["failed_batches_total"] == 1
    assert told["batch_tokens_total"] == 0
    assert told["device_busy_seconds_total"] == 2.0


def test_one_input_recomputed_keeps_the_device_busy_too(clock: Clock) -> None:
    encoder = MeasuredEncoder(Device(clock), 8)
    assert encoder.recompute([1, 2], 4).shape == (4,)
    assert numbers(encoder, clock.now)["device_busy_seconds_total"] == 2.0


def test_one_of_four_side_by_side_keeps_a_quarter_busy_and_is_told_while_it_still_computes(clock: Clock) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Hangs(Device):
        def encode(self, batch: object, dims: object, unpooled: object = ()) -> np.ndarray:
            entered.set()
            assert leave.wait(10)
            return np.zeros((2, 4), dtype=np.float32)

    encoder = MeasuredEncoder(Hangs(clock, Limits(slots=4, computing=4)), 8)
    thread = threading.Thread(target=encoder.encode, args=(BATCH, [4, 4]))
    thread.start()
    assert entered.wait(10)
    clock.now += 8.0

    assert numbers(encoder, clock.now)["device_busy_seconds_total"] == 2.0

    leave.set()
    thread.join(10)
    clock.now += 8.0
    assert numbers(encoder, clock.now)["device_busy_seconds_total"] == 2.0
