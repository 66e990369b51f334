"""How far a topic is done: per partition, the offset below which every message is acknowledged.

Messages are submitted in offset order and acknowledged in any order; the head of a partition's deque is popped
once it is acknowledged, so the next offset to commit never passes an unanswered message. Each assignment of a
partition is an epoch: what was submitted under an earlier one is no longer current and counts for nothing.
Pure but for one lock: no clock, no Kafka. Source of the idea: Kafka Connect's SubmittedRecords.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(slots=True, eq=False)
class Submitted:
    """One message on its way; belongs to the tracker that made it."""

    partition: int
    offset: int
    epoch: int
    acknowledged: bool = False


@dataclass(slots=True)
class _Partition:
    epoch: int
    pending: deque[Submitted] = field(default_factory=deque)
    expected_offset: int | None = None
    """Next offset to be read; None until the first message of the assignment."""
    done_offset: int | None = None
    """Next offset to commit; None while nothing is done."""
    committed_offset: int | None = None

    def advance(self) -> None:
        while self.pending and self.pending[0].acknowledged:
            self.done_offset = self.pending.popleft().offset + 1


class OffsetTracker:
    """Watermarks of one consumer's partitions. Thread-safe; never blocks for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}
        self._epoch = 0

    def assign(self, partitions: Iterable[int]) -> int:
        """Start a new epoch for these partitions; what was under way for them before is no longer current.

        Returns:
            The new epoch.
        """
        with self._lock:
            self._epoch += 1
            for partition in partitions:
                self._partitions[partition] = _Partition(self._epoch)
            return self._epoch

    def unassign(self, partitions: Iterable[int]) -> None:
        """Forget these partitions, after a last commit or because they are lost."""
        with self._lock:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def submit(self, partition: int, offset: int) -> tuple[Submitted, int]:
        """Take note of a message that was read.

        Returns:
            The message's mark, and how many offsets were skipped before it (0 where offsets are contiguous).

        Raises:
            KeyError: The partition is not assigned.
            ValueError: The offset goes backwards within the assignment.
        """
        with self._lock:
            state = self._partitions[partition]
            skipped = 0 if state.expected_offset is None else offset - state.expected_offset
            if skipped < 0:
                raise ValueError(f"partition {partition}: offset {offset} read after {state.expected_offset}")
            state.expected_offset = offset + 1
            submitted = Submitted(partition, offset, state.epoch)
            state.pending.append(submitted)
            return submitted, skipped

    def acknowledge(self, submitted: Submitted) -> None:
        """The broker has everything this message led to; of an earlier epoch: nothing happens."""
        with self._lock:
            submitted.acknowledged = True
            state = self._partitions.get(submitted.partition)
            if state is not None and state.epoch == submitted.epoch:
                state.advance()

    def is_current(self, submitted: Submitted) -> bool:
        """Whether the message's partition is still held under the assignment it was read in."""
        with self._lock:
            state = self._partitions.get(submitted.partition)
            return state is not None and state.epoch == submitted.epoch

    def committable(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Next offsets that are ahead of what was committed: partition -> next offset.

        Args:
            partitions: Only these; None: all that are held.
        """
        with self._lock:
            chosen = self._partitions if partitions is None else partitions
            ahead: dict[int, int] = {}
            for partition in chosen:
                state = self._partitions.get(partition)
                if state and state.done_offset is not None and state.done_offset != state.committed_offset:
                    ahead[partition] = state.done_offset
            return ahead

    def leading(
        self, is_done: Callable[[Submitted], bool], partitions: Iterable[int] | None = None
    ) -> dict[int, list[Submitted]]:
        """Messages from each watermark on, up to the first that is not done: partition -> them, where any.

        Args:
            is_done: Asked of each in offset order, under this tracker's lock.
            partitions: Only these; None: all that are held.
        """
        with self._lock:
            chosen = self._partitions if partitions is None else partitions
            leading = {
                p: list(takewhile(is_done, state.pending)) for p in chosen if (state := self._partitions.get(p))
            }
            return {partition: messages for partition, messages in leading.items() if messages}

    def committed(self, offsets: dict[int, int]) -> None:
        """Take note of what the group's progress now is."""
        with self._lock:
            for partition, offset in offsets.items():
                state = self._partitions.get(partition)
                if state is not None:
                    state.committed_offset = offset

    def pending(self, partition: int) -> int:
        """Messages past the watermark, acknowledged ones behind an unacknowledged head counted."""
        with self._lock:
            state = self._partitions.get(partition)
            return len(state.pending) if state else 0

    def pending_in(self, partitions: Iterable[int] | None = None) -> int:
        """Messages past the watermark over several partitions; None: all."""
        with self._lock:
            chosen = list(self._partitions if partitions is None else partitions)
            return sum(len(state.pending) for p in chosen if (state := self._partitions.get(p)))

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions held now."""
        with self._lock:
            return frozenset(self._partitions)
