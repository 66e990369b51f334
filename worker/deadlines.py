"""Finds the waiting inputs whose deadline has passed without looking at the others. Pure: time is an argument."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .scheduler import WaitingInput

_TAKEN_KEPT: Final = 256


class Deadlines:
    """Inputs that wait, the next to expire first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Sequence[WaitingInput]]] = []
        self._count = itertools.count()
        """Tells entries of one deadline apart, so that inputs are never compared."""

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, inputs: Sequence[WaitingInput], waiting: int) -> None:
        """Take note of inputs of one request.

        Args:
            inputs: Some of one request's.
            waiting: Inputs that wait in all; those taken long ago are forgotten by it.
        """
        deadline_ms = inputs[0].item.headers.deadline_ms
        if deadline_ms is None:
            return
        if len(self._heap) > 2 * waiting + _TAKEN_KEPT:
            self._heap = [entry for entry in self._heap if not all(waiting.taken for waiting in entry[2])]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (deadline_ms, next(self._count), inputs))

    def passed(self, now_ms: float) -> list[WaitingInput]:
        """Those not taken yet whose deadline is before `now_ms`; they are told once."""
        passed: list[WaitingInput] = []
        while self._heap and self._heap[0][0] < now_ms:
            passed += (waiting for waiting in heapq.heappop(self._heap)[2] if not waiting.taken)
        return passed
