"""Whether the worker lives, and whether it serves: true at every moment, from the first one to the last."""

from __future__ import annotations

import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Final

from schemas.topics import Lane

from .samples import Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..stages import StageFailure

_STANDBY_SECONDS: Final = 10.0
"""Under the protocol `consumer` a member that gets no partition is never told so: two heartbeats of 5 s."""


class Phase(Enum):
    """Where a worker is in its life; what is said while it is not ready."""

    CONNECTING = "no broker has answered yet"
    LOADING = "the model is loading"
    SERVING = "joining its groups"
    DRAINING = "draining"
    ENDED = "stopped"


class Health:
    """Answers the two probes. Thread-safe.

    Args:
        failure: Tells when a stage has died.
        lanes: Those that the worker serves.
    """

    def __init__(self, failure: StageFailure, lanes: Collection[Lane] = tuple(Lane)) -> None:
        self._lanes = lanes
        self._failure = failure
        self._lock = threading.Lock()
        self._joined: set[Lane] = set()
        self._stuck = False
        self._phase = Phase.CONNECTING
        self._waits_since: float | None = None
        """When it began to wait for partitions of which none may come, on the monotonic clock."""

    def enter(self, phase: Phase) -> None:
        """The worker goes on to the next part of its life."""
        self._phase = phase

    def serving(self, *, may_get_none_silently: bool) -> None:
        """Requests are read from now on.

        Args:
            may_get_none_silently: Whether a lane that gets no partition is not told so.
        """
        with self._lock:
            self._phase = Phase.SERVING
            self._waits_since = time.monotonic() if may_get_none_silently else None

    def joined(self, lane: Lane) -> None:
        """The lane's group has given this worker its share, which may be none."""
        with self._lock:
            self._joined.add(lane)

    def left(self, lane: Lane) -> None:
        """The lane's group has gone on without this worker."""
        with self._lock:
            self._joined.discard(lane)
            if self._waits_since is not None:
                self._waits_since = time.monotonic()

    def stuck(self) -> None:
        """A request is stuck; the process is about to end."""
        self._stuck = True

    def why_not_live(self) -> str | None:
        """Why this process must be replaced; None: it need not be."""
        if self._stuck:
            return "a request is stuck"
        if self._failure.error is not None:
            return f"stage {self._failure.stage} died"
        return None

    def why_not_ready(self) -> str | None:
        """Why this worker answers nothing new now; None: it does."""
        dead = self.why_not_live()
        if dead is not None:
            return dead
        with self._lock:
            has_joined = len(self._joined) == len(self._lanes) or (
                self._waits_since is not None and time.monotonic() - self._waits_since >= _STANDBY_SECONDS
            )
            return None if self._phase is Phase.SERVING and has_joined else self._phase.value

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        yield Sample("ready", (), self.why_not_ready() is None)
        yield Sample("live", (), self.why_not_live() is None)
