"""The stage that drives one device: cuts batches, computes them, hands finished requests to the publisher.

As many threads as the encoder has slots, each with one batch at a time. Where the device works on its own (a GPU),
the slot beyond what it computes side by side launches the next batch ahead, unless interactive traffic is about. A
batch that fails is halved until the request at fault stands alone; its neighbours are answered. When input after
input fails, the fault is ours and the worker stops. Where the device had no room, batches are smaller from then on,
and grow back; where it is lost, the process ends. Same inputs are computed once; who is behind whom, `duplicates`
keeps.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from schemas.errors import ErrorCode, RequestError
from transport.backoff import backoff_seconds

from ..errors import EncoderBrokenError
from ..failures import Remedy, remedy_for
from ..outcomes import deadline_error
from ..request import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from ..duplicates import Duplicates
    from ..request import RequestInFlight
    from ..scheduler import Batch, Scheduler, WaitingInput
    from .interface import Encoder

log = structlog.get_logger("worker")

_FAILURES_IN_A_ROW: Final = 16
"""Inputs that may fail one after the other before the fault is ours. Each request counts once, and so does a line of
requests that wait for the same input."""


_TRIES_FOR_ROOM: Final = 4
"""Of one input that the device has no room for: somebody else may hold it for a moment."""
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 1.0


class EncoderStage:
    """The stage between scheduler and publisher.

    Args:
        encoder: The device.
        scheduler: Chooses batches; used under this stage's lock only.
        duplicates: Knows which inputs are the same.
        is_current: Whether a request's partition is still ours.
        on_finished: Gets every request whose last input is dealt with.
        clock_skew_seconds: How much later than its deadline a request counts as expired.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        encoder: Encoder,
        scheduler: Scheduler,
        duplicates: Duplicates,
        *,
        is_current: Callable[[RequestInFlight], bool],
        on_finished: Callable[[RequestInFlight], None],
        clock_skew_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._encoder = encoder
        self._scheduler = scheduler
        self._duplicates = duplicates
        self._is_current = is_current
        self._on_finished = on_finished
        self._clock_skew_ms = clock_skew_seconds * 1000
        self._ready = threading.Condition()
        self._stopped = False
        self._under_way = 0
        """Batches that slots are at; under the lock of `_ready`, as the scheduler is."""
        self._settling = threading.RLock()
        """What becomes of a request is written by one thread at a time: its inputs may lie in several batches. The
        lock of `_ready` may be taken under this one, never the other way round."""
        self._failures_in_a_row = 0
        self._done_at = float("-inf")
        """When a device that computes one batch at a time was last done with one."""

    def submit(self, inputs: list[WaitingInput]) -> None:
        """Queue the inputs of one request; waits for no batch."""
        to_compute, known = self._duplicates.admit(inputs)
        if to_compute:
            self._schedule(to_compute)
        if known:
            with self._settling:
                for waiting, vector in known:
                    self._answer([waiting], vector)

    def _schedule(self, inputs: list[WaitingInput]) -> None:
        with self._ready:
            self._scheduler.add(inputs, time.monotonic())
            self._ready.notify_all()

    def stop(self) -> None:
        """Let `run` end after the batch it is at."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def run(self) -> None:
        """One slot: work until stopped; to be called from as many threads as the encoder has slots.

        Raises:
            EncoderBrokenError: Input after input failed.
            DeviceLostError: The device computes nothing any more; what was under way is not answered.
        """
        while (batch := self._next()) is not None:
            try:
                self._compute(batch)
            finally:
                with self._ready:
                    self._under_way -= 1
                    self._ready.notify_all()

    def _next(self) -> Batch | None:
        """The next batch; None once stopped. Deadlines that passed are noticed before it is cut."""
        while True:
            with self._ready:
                if self._stopped:
                    return None
                expired = self._scheduler.expired(time.time() * 1000 - self._clock_skew_ms)
                if not expired:
                    now = time.monotonic()
                    idle = self._encoder.limits.computing - self._under_way
                    if len(self._scheduler) and (idle > 0 or self._scheduler.may_launch_ahead(now)):
                        self._under_way += 1
                        return self._scheduler.next_batch(now, idle)
                    self._ready.wait()
            for successor in self._wanted(expired):
                self._schedule([successor])

    def _compute(self, batch: Batch) -> None:
        inputs = self._wanted(batch.inputs)
        if not inputs:
            return
        started_at = time.monotonic()
        try:
            vectors = self._encoder.encode(*_arguments(inputs))
        except Exception as error:
            remedy = remedy_for(error)
            if remedy is Remedy.STOP:
                raise
            if remedy is Remedy.SMALLER:
                with self._ready:
                    self._scheduler.out_of_memory(batch.cost_tokens)
            self._isolate(inputs, error)
            return
        if len(inputs) == len(batch.inputs):
            self._measure(batch, started_at)
        self._deliver(inputs, vectors)

    def _measure(self, batch: Batch, started_at: float) -> None:
        """Tell the scheduler how long the device took."""
        with self._ready:
            now = time.monotonic()
            if self._encoder.limits.computing == 1:
                # A batch launched ahead has the device to itself only once the one before it is done.
                started_at, self._done_at = max(started_at, self._done_at), now
            self._scheduler.measured(batch.lane, batch.cost_tokens, now - started_at)

    def _wanted(self, inputs: Iterable[WaitingInput]) -> list[WaitingInput]:
        """Those whose computing still serves anybody: in place of a request that is over, the next follower's."""
        wanted = []
        with self._settling:
            for waiting in inputs:
                candidate: WaitingInput | None = waiting
                while candidate is not None and not self._is_wanted(candidate.item):
                    self._settle(candidate.item)
                    candidate = self._duplicates.given_up(candidate)
                if candidate is not None:
                    wanted.append(candidate)
        return wanted

    def _is_wanted(self, item: RequestInFlight) -> bool:
        """Whether computing this request still serves anybody; notes a deadline that passed meanwhile."""
        if item.error is not None or not self._is_current(item):
            return False
        expired = deadline_error(item, time.time() * 1000, self._clock_skew_ms)
        if expired is not None:
            item.fail(expired)
        return expired is None

    def _deliver(self, inputs: Sequence[WaitingInput], vectors: NDArray[np.float32]) -> None:
        finite = np.logical_and.reduce(np.isfinite(vectors), axis=1)
        with self._settling:
            for waiting, vector, is_finite in zip(inputs, vectors, finite, strict=True):
                if is_finite:
                    self._deliver_one(waiting, vector)
        for waiting in itertools.compress(inputs, ~finite):
            self._recompute(waiting)

    def _deliver_one(self, waiting: WaitingInput, vector: NDArray[np.float32]) -> None:
        with self._settling:
            self._failures_in_a_row = 0
            self._answer([waiting, *self._duplicates.delivered(waiting, vector)], vector)

    def _answer(self, inputs: Iterable[WaitingInput], vector: NDArray[np.float32]) -> None:
        """Give them their vector; under the lock of `_settling`."""
        for waiting in inputs:
            if waiting.item.deliver(waiting.index, vector):
                self._on_finished(waiting.item)

    def _recompute(self, waiting: WaitingInput) -> None:
        """A vector was not finite, or zero: once more in float32, then it is our fault."""
        wanted = self._wanted([waiting])
        if not wanted:
            return
        [waiting] = wanted
        try:
            vector = self._encoder.recompute(waiting.ids, waiting.item.dim, waiting.unpooled)
        except Exception as error:
            if remedy_for(error) is Remedy.STOP:
                raise
            self._give_up(waiting, error)
            return
        if np.isfinite(vector).all():
            self._deliver_one(waiting, vector)
        else:
            self._give_up(waiting, ArithmeticError("the model gives no finite vector for this input"))

    def _isolate(self, inputs: list[WaitingInput], error: Exception) -> None:
        """Halve a failed batch until what fails stands alone; what serves nobody any more is left out."""
        wanted = self._wanted(inputs)
        if wanted != inputs:
            self._try_again(wanted)
        elif len(inputs) == 1 and remedy_for(error) is Remedy.SMALLER:
            self._try_for_room(inputs[0], error)
        elif len(inputs) == 1:
            self._give_up(inputs[0], error)
        else:
            log.warning("batch failed, halving it", inputs=len(inputs), error=repr(error))
            middle = len(inputs) // 2
            self._try_again(inputs[:middle])
            self._try_again(inputs[middle:])

    def _try_again(self, inputs: list[WaitingInput]) -> None:
        """Compute part of a failed batch by itself."""
        if not inputs:
            return
        try:
            vectors = self._encoder.encode(*_arguments(inputs))
        except Exception as error:
            if remedy_for(error) is Remedy.STOP:
                raise
            self._isolate(inputs, error)
        else:
            self._deliver(inputs, vectors)

    def _try_for_room(self, waiting: WaitingInput, error: Exception) -> None:
        """One input by itself, until the device has room for it or the tries are used up."""
        for tries in range(1, _TRIES_FOR_ROOM):
            seconds = backoff_seconds(
                tries, first=_FIRST_WAIT_SECONDS, most=_LONGEST_WAIT_SECONDS, random=random.random
            )
            log.warning("no room for one input, trying again", tokens=waiting.tokens, seconds=round(seconds, 2))
            self._sleep(seconds)
            wanted = self._wanted([waiting])
            if wanted != [waiting]:
                self._try_again(wanted)
                return
            try:
                vectors = self._encoder.encode(*_arguments([waiting]))
            except Exception as again:
                remedy = remedy_for(again)
                if remedy is Remedy.STOP:
                    raise
                if remedy is Remedy.APART:
                    self._give_up(waiting, again)
                    return
            else:
                self._deliver([waiting], vectors)
                return
        self._give_up(waiting, error)

    def _give_up(self, waiting: WaitingInput, error: Exception) -> None:
        item = waiting.item
        log.error(
            "input failed in the encoder",
            **origin_of(item),
            index=waiting.index,
            tokens=waiting.tokens,
            error=repr(error),
        )
        with self._settling:
            self._failures_in_a_row += not waiting.failed_before
            if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
                raise EncoderBrokenError(
                    f"{self._failures_in_a_row} requests in a row failed in the encoder"
                ) from error
            if item.request is not None:
                item.fail(
                    RequestError(
                        ErrorCode.INTERNAL_ERROR,
                        f"input[{waiting.index}] could not be computed: our fault, kept as a dead letter",
                        param="input",
                        index=waiting.index,
                        request_id=item.request.id,
                        metadata=item.request.metadata,
                    )
                )
            self._settle(item)
        successor = self._duplicates.given_up(waiting, failed=True)
        if successor is not None:
            self._schedule([successor])

    def _settle(self, item: RequestInFlight) -> None:
        with self._settling:
            if item.settle():
                self._on_finished(item)


def _arguments(inputs: Sequence[WaitingInput]) -> tuple[list[Sequence[int]], list[int], list[int]]:
    return (
        [waiting.ids for waiting in inputs],
        [waiting.item.dim for waiting in inputs],
        [waiting.unpooled for waiting in inputs],
    )
