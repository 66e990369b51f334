"""Does to workers and broker what the schedule says, each fault in a thread of its own, and keeps count."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from .schedule import FaultKind, due

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.kafka_broker import KafkaBroker
    from tests.stack.command import Command

    from .schedule import Fault

_READY_SECONDS: Final = 120.0
_DRAIN_SECONDS: Final = 60.0
_STARTS: Final = 5
_LOOK_SECONDS: Final = 0.05


class Fleet:
    """The workers: some that stay and are started again when they end, and some that come and go.

    Args:
        start: Starts a worker process.
        size: How many stay.
    """

    def __init__(self, start: Callable[[], Command], size: int) -> None:
        self._start = start
        self._locks = [threading.Lock() for _ in range(size)]
        self._workers: list[Command | None] = [None] * size
        self.everyone: list[Command] = []
        """Every worker there was, in the order of their starts."""
        self._leaving = False
        self.ended_by_themselves: list[str] = []
        """Exit status and last words of workers that nobody killed."""

    def __len__(self) -> int:
        return len(self._workers)

    def start(self) -> None:
        """Start those that stay and wait until they are ready."""
        for place in range(len(self)):
            self._workers[place] = self._new()
        for worker in self._workers:
            self._is_ready(worker)

    def _new(self) -> Command:
        worker = self._start()
        self.everyone.append(worker)
        return worker

    def _is_ready(self, worker: Command | None) -> bool:
        """Wait for a worker; one that ends before it is ready has ended by itself."""
        assert worker is not None
        try:
            worker.wait_for('"ready"', _READY_SECONDS)
        except AssertionError:
            if worker.is_running:
                raise
            self._note(worker)
            return False
        return True

    def _note(self, worker: Command) -> None:
        self.ended_by_themselves.append(f"{worker.wait()}: {' '.join(worker.own_lines[-3:])[-500:]}")

    def _fill(self, place: int) -> None:
        """Start a worker there; its lock is held."""
        for _ in range(_STARTS):
            if self._leaving:
                return
            worker = self._workers[place] = self._new()
            if self._is_ready(worker):
                return
        raise AssertionError(f"{_STARTS} workers ended one after the other: {self.ended_by_themselves[-_STARTS:]}")

    def look_after(self) -> None:
        """Start again whoever ended by itself; waits for nobody that a fault is at."""
        for place, lock in enumerate(self._locks):
            if lock.acquire(blocking=False):
                try:
                    worker = self._workers[place]
                    if worker is not None and not worker.is_running:
                        self._note(worker)
                        self._fill(place)
                finally:
                    lock.release()

    # --- what can be done to one -------------------------------------------------------------------------

    def kill_one(self, place: int, seconds: float) -> bool:
        """SIGKILL, and a new one in its place after a while; False: it had ended by itself."""
        with self._locks[place]:
            worker = self._workers[place]
            assert worker is not None
            if not worker.is_running:
                return False  # `look_after` tells of it.
            worker.kill()
            time.sleep(seconds)
            self._fill(place)
            return True

    def stop_one(self, place: int, seconds: float) -> bool:
        """SIGSTOP for a while, then SIGCONT; False: it had ended by itself."""
        with self._locks[place]:
            worker = self._workers[place]
            assert worker is not None
            try:
                worker.pause()
            except AssertionError:
                if worker.is_running:
                    raise
                return False  # `look_after` tells of it.
            time.sleep(seconds)
            worker.resume()
            return True

    def restart_one(self, place: int, seconds: float) -> None:
        """SIGTERM; a new one once it has drained."""
        with self._locks[place]:
            worker = self._workers[place]
            assert worker is not None
            self._leave(worker)
            time.sleep(seconds)
            self._fill(place)

    def join_and_leave(self, seconds: float) -> None:
        """One more for a while."""
        worker = self._new()
        if self._is_ready(worker):
            time.sleep(seconds)
            self._leave(worker)

    def _leave(self, worker: Command) -> None:
        worker.signal(signal.SIGTERM)
        status = worker.wait(_DRAIN_SECONDS)
        if status != 0:
            self.ended_by_themselves.append(f"{status} on SIGTERM: {' '.join(worker.own_lines[-3:])[-500:]}")

    # --- the end -----------------------------------------------------------------------------------------

    def leave(self) -> None:
        """SIGTERM to all, and wait until they have drained."""
        self._leaving = True
        for worker in self._workers:
            if worker is not None and worker.is_running:
                self._leave(worker)

    def kill(self) -> None:
        """End whatever is left."""
        self._leaving = True
        for worker in self.everyone:
            worker.kill()


class Faults(threading.Thread):
    """Begins each fault when its time has come.

    Args:
        schedule: What, and when.
        fleet: The workers.
        broker: The broker, where it may be harmed.
        session_seconds: After this a silent worker loses its partitions.
        progress: Share of all requests that were sent.
    """

    def __init__(
        self,
        schedule: Sequence[Fault],
        fleet: Fleet,
        broker: KafkaBroker | None,
        *,
        session_seconds: float,
        progress: Callable[[], float],
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self._schedule = schedule
        self._fleet = fleet
        self._broker = broker
        self._broker_lock = threading.Lock()
        self._session_seconds = session_seconds
        self._progress = progress
        self._ended = threading.Event()
        self._begun = 0
        self._running: list[threading.Thread] = []
        self.done: Counter[FaultKind] = Counter()
        self.error: BaseException | None = None

    @property
    def is_calm(self) -> bool:
        """Whether every fault that has begun is repaired."""
        return self.done.total() == self._begun

    def stop(self) -> None:
        """Begin no more and wait for those that have begun."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set() and self.error is None:
            for fault in due(self._schedule, self._begun, self._progress()):
                thread = threading.Thread(target=self._guarded, args=(lambda fault=fault: self._happen(fault),))
                self._begun += 1
                thread.start()
                self._running.append(thread)
            self._guarded(self._fleet.look_after)
            self._ended.wait(_LOOK_SECONDS)
        for thread in self._running:
            thread.join()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised by whoever runs it all
            self.error = self.error or error

    def _happen(self, fault: Fault) -> None:
        fleet, seconds = self._fleet, fault.seconds
        if fault.kind is FaultKind.KILL_WORKER:
            self._until_it_happens(lambda: fleet.kill_one(fault.worker, seconds))
        elif fault.kind is FaultKind.STOP_WORKER:
            self._until_it_happens(lambda: fleet.stop_one(fault.worker, self._session_seconds + seconds))
        elif fault.kind is FaultKind.RESTART_WORKER:
            fleet.restart_one(fault.worker, seconds)
        elif fault.kind is FaultKind.JOIN_AND_LEAVE:
            fleet.join_and_leave(seconds)
        else:
            self._harm_broker(fault)
        self.done[fault.kind] += 1

    def _until_it_happens(self, action: Callable[[], bool]) -> None:
        """A worker that has ended by itself is waited for until another one is in its place."""
        until = time.monotonic() + _READY_SECONDS
        while not action():
            assert time.monotonic() < until, "no worker to do it to"
            time.sleep(_LOOK_SECONDS)

    def _harm_broker(self, fault: Fault) -> None:
        assert self._broker is not None
        with self._broker_lock:
            if fault.kind is FaultKind.KILL_BROKER:
                self._broker.kill()
                time.sleep(fault.seconds)
                self._broker.restart()
            else:
                self._broker.pause()
                time.sleep(fault.seconds)
                self._broker.resume()
