"""Which workers live, by their beats."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.beats import GONE_AFTER_SECONDS, Beat, WorkerState
from schemas.codec import decode_beat
from transport.reader import PartitionReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.topics import TopicNames
    from transport.cluster import Cluster
    from transport.messages import Message

_BACK: Final = 500
"""Beats read from before the start: more than a second of them, so that live workers are known at once."""


@dataclass(frozen=True, slots=True)
class _Seen:
    beat: Beat
    at_ms: float


class WorkersView:
    """The latest beat of each worker. `refresh` from one thread; everything else from any.

    Args:
        cluster: Where to read.
        topics: Names of our topics.
        clock_ms: Now, epoch milliseconds.

    Raises:
        BrokerUnavailableError: The workers topic could not be read.
    """

    def __init__(
        self, cluster: Cluster, topics: TopicNames, clock_ms: Callable[[], float] = lambda: time.time() * 1000
    ) -> None:
        self._reader = PartitionReader(cluster, topics.workers, [0], back=_BACK, patient=True)
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._seen: dict[bytes, _Seen] = {}
        self._models: dict[str, Beat] = {}

    def refresh(self, timeout_seconds: float) -> bool:
        """Read what is new. Blocks up to `timeout_seconds`.

        Returns:
            Whether anything was.
        """
        messages = self._reader.poll(1000, timeout_seconds)
        now_ms = self._clock_ms()
        with self._lock:
            for message in messages:
                self._take(message, now_ms)
        return bool(messages)

    def live(self) -> list[Beat]:
        """Beats of workers that are not gone, in the order they started."""
        oldest_ms = self._clock_ms() - GONE_AFTER_SECONDS * 1000
        with self._lock:
            beats = [seen.beat for seen in self._seen.values() if seen.at_ms >= oldest_ms]
        return sorted(beats, key=lambda beat: (beat.started_at_ms, beat.worker_id))

    def models(self) -> list[Beat]:
        """The last beat of every model that has been served since the start, whether by live workers or not."""
        with self._lock:
            return list(self._models.values())

    def ready(self) -> list[Beat]:
        """Beats of workers that take requests."""
        return [beat for beat in self.live() if beat.state is WorkerState.READY]

    def close(self) -> None:
        """Stop reading; from the thread that refreshes."""
        self._reader.close()

    def _take(self, message: Message, now_ms: float) -> None:
        key = message.key or b""
        if message.value is None:
            self._seen.pop(key, None)
            return
        beat = decode_beat(message.value)
        if beat is not None:
            # A beat that has just come in is new, whatever its worker's clock says; an older one has its timestamp,
            # and a clock ahead of ours must not make it seem newer than now.
            at_ms = min(now_ms, float(message.timestamp_ms)) if self._reader.was_there(message) else now_ms
            self._seen[key] = _Seen(beat, at_ms)
            self._models[beat.model] = beat
