"""Keeps the answers of one key in the order of their requests.

Within a partition, messages with the same key are answered in offset order, so that of an upsert, an upsert and a
delete of one document the delete is published last, however long the texts. Messages without key wait for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from schemas.topics import Lane

    from .request import RequestInFlight


class _Key(NamedTuple):
    lane: Lane
    partition: int
    key: bytes


class KeyOrder:
    """Who waits for whom. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[_Key, deque[RequestInFlight]] = {}
        self._finished: set[int] = set()

    def register(self, item: RequestInFlight) -> None:
        """Take note of a request, in offset order. Each must be finished once, whatever becomes of it."""
        key = _key(item)
        if key is None:
            return
        with self._lock:
            self._waiting.setdefault(key, deque()).append(item)

    def finish(self, item: RequestInFlight) -> list[RequestInFlight]:
        """A request can be answered now.

        Returns:
            What may be published, in this order: itself and those that waited for it, or nothing yet.
        """
        key = _key(item)
        if key is None:
            return [item]
        with self._lock:
            self._finished.add(id(item))
            queue = self._waiting[key]
            ready = []
            while queue and id(queue[0]) in self._finished:
                self._finished.discard(id(queue[0]))
                ready.append(queue.popleft())
            if not queue:
                del self._waiting[key]
            return ready

    def __len__(self) -> int:
        with self._lock:
            return sum(len(queue) for queue in self._waiting.values())


def _key(item: RequestInFlight) -> _Key | None:
    message = item.message
    return None if message.key is None else _Key(item.lane, message.partition, message.key)
