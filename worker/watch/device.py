"""Measures the device from outside: an encoder that passes everything on, and keeps how long it took and how full
it was.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .samples import RATIOS, SECONDS, Distribution, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..encoder.interface import Encoder


class MeasuredEncoder:
    """Wraps the encoder. Thread-safe, as that one is.

    Args:
        encoder: What computes.
        budget_tokens: Tokens a batch may have.
    """

    def __init__(self, encoder: Encoder, budget_tokens: int) -> None:
        self._encoder = encoder
        self._budget_tokens = budget_tokens
        self.limits = encoder.limits
        self._lock = threading.Lock()
        self._under_way = 0
        self._changed_at = 0.0
        """When a call last began or ended."""
        self._busy_seconds = 0.0
        self._tokens = self._failed = 0
        self._fill = Distribution(RATIOS)
        self._seconds = Distribution(SECONDS)
        self._slowest_seconds = 0.0

    @property
    def slowest_seconds(self) -> float:
        """Longest that a batch took so far."""
        return self._slowest_seconds

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        started_at = self._begin()
        try:
            vectors = self._encoder.encode(batch, dims, unpooled)
        except BaseException:
            self._end(started_at, None)
            raise
        lengths = [len(ids) for ids in batch]
        self._end(started_at, len(lengths) * max(lengths) if self.limits.is_padded else sum(lengths))
        return vectors

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        started_at = self._begin()
        try:
            vector = self._encoder.recompute(ids, dim, unpooled)
        except BaseException:
            self._end(started_at, None)
            raise
        self._end(started_at, len(ids))
        return vector

    def samples(self, now: float) -> Iterator[Sample]:
        """See `samples.Source`."""
        with self._lock:
            self._count_busy(now)
            busy, tokens, failed = self._busy_seconds, self._tokens, self._failed
            fill, seconds = self._fill.told(), self._seconds.told()
        yield Sample("batch_budget_tokens", (), self._budget_tokens)
        yield Sample("batch_fill_ratio", (), fill)
        yield Sample("batch_duration_seconds", (), seconds)
        yield Sample("batch_tokens_total", (), tokens)
        yield Sample("failed_batches_total", (), failed)
        yield Sample("device_busy_seconds_total", (), busy)

    def _begin(self) -> float:
        with self._lock:
            now = time.monotonic()
            self._count_busy(now)
            self._under_way += 1
            return now

    def _end(self, started_at: float, cost_tokens: int | None) -> None:
        """A call is over; None: it failed."""
        with self._lock:
            now = time.monotonic()
            self._count_busy(now)
            self._under_way -= 1
            seconds = now - started_at
            self._slowest_seconds = max(self._slowest_seconds, seconds)
            if cost_tokens is None:
                self._failed += 1
                return
            self._tokens += cost_tokens
            self._fill.observe(cost_tokens / self._budget_tokens)
            self._seconds.observe(seconds)

    def _count_busy(self, now: float) -> None:
        """Where several compute side by side, one of four alone keeps a quarter of the device busy."""
        computing = self.limits.computing
        self._busy_seconds += max(0.0, now - self._changed_at) * min(self._under_way, computing) / computing
        self._changed_at = now
