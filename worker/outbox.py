"""Answers that wait for their transaction, and which of them may be in the next one.

A transaction commits next offsets, so it holds the answers of exactly the messages below them: of each partition the
answered ones from the watermark on, up to the first that is not. What is answered beyond it waits. Pure but for one
lock: no clock, no Kafka. Callbacks are called without the lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from transport.producer import DeliveryFailure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from transport.messages import Outgoing
    from transport.offsets import OffsetTracker, Submitted
    from transport.producer import Delivery

    from .request import RequestInFlight

_GONE: Final = DeliveryFailure(FailureKind.TRANSIENT, "its partition is another worker's")


@dataclass(frozen=True, slots=True)
class Held:
    """One message that waits for its transaction."""

    item: RequestInFlight
    message: Outgoing
    on_delivery: Delivery

    @property
    def size_bytes(self) -> int:
        """Of key and value."""
        return len(self.message.key or b"") + len(self.message.value or b"")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is committed together."""

    held: list[Held]
    """In the order of the messages they answer, partition by partition."""
    offsets: dict[int, int]
    """Partition -> next offset."""
    leaves_more: bool = False
    """Whether something was left for want of room."""


class Outbox:
    """Messages by the request they answer. Thread-safe.

    Args:
        tracker: Of the requests' offsets.
    """

    def __init__(self, tracker: OffsetTracker) -> None:
        self._tracker = tracker
        self._lock = threading.Lock()
        self._held: dict[Submitted, list[Held]] = {}
        self._last_cut = -1
        """The partition that the last transaction had no room for; the next one begins with it."""

    def add(self, held: Held) -> None:
        """Keep a message, or tell it at once that its request is no longer ours."""
        with self._lock:
            is_ours = self._tracker.is_current(held.item.submitted)
            if is_ours:
                self._held.setdefault(held.item.submitted, []).append(held)
        if not is_ours:
            held.on_delivery(_GONE)

    def cut(self, max_bytes: int, partitions: Iterable[int] | None = None) -> Transaction | None:
        """Take out what the next transaction holds.

        Args:
            max_bytes: Bound of keys and values; one request is always let through.
            partitions: Only of these; None: of all that are held.

        Returns:
            None when there is nothing to commit.
        """
        held: list[Held] = []
        offsets: dict[int, int] = {}
        size_bytes = 0
        with self._lock:
            leading = self._tracker.leading(self._is_answered, partitions)
            for partition in sorted(leading, key=lambda one: (one < self._last_cut, one)):
                for submitted in leading[partition]:
                    size_bytes += sum(one.size_bytes for one in self._held[submitted])
                    if held and size_bytes > max_bytes:
                        self._last_cut = partition
                        return Transaction(held, offsets, leaves_more=True)
                    held += self._held.pop(submitted)
                    offsets[partition] = submitted.offset + 1
        return Transaction(held, offsets) if held else None

    def put_back(self, transaction: Transaction, faults: Mapping[int, DeliveryFailure]) -> None:
        """Keep what was in a transaction that did not take place.

        Args:
            transaction: As it was cut.
            faults: What must not come back as it is, by its place in `transaction.held`: its callback is told why,
                and whoever is called adds what is published in its stead.
        """
        for place, held in enumerate(transaction.held):
            if place not in faults:
                self.add(held)
        for place, failure in faults.items():
            transaction.held[place].on_delivery(failure)

    def unassign(self, partitions: Collection[int]) -> None:
        """Forget these partitions, and tell every message of theirs that its request is no longer ours."""
        with self._lock:
            self._tracker.unassign(partitions)
            gone = [submitted for submitted in self._held if not self._tracker.is_current(submitted)]
            dropped = [held for submitted in gone for held in self._held.pop(submitted)]
        for held in dropped:
            held.on_delivery(_GONE)

    def has_unanswered(self, partitions: Iterable[int]) -> bool:
        """Whether some message of these partitions has not all its answers here."""
        chosen = list(partitions)
        with self._lock:
            leading = self._tracker.leading(self._is_answered, chosen)
        return sum(map(len, leading.values())) < self._tracker.pending_in(chosen)

    def _is_answered(self, submitted: Submitted) -> bool:
        held = self._held.get(submitted)
        return held is not None and len(held) == held[0].item.unacknowledged
