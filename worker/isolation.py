"""While a request is suspected of killing the process, one turn is under way in all of it, of whatever lane.

A turn is one request, or a few of one partition where suspects are thousands. Otherwise a process that dies would
leave its mark on a request that only ran beside the guilty one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from schemas.topics import Lane

    from .bounds import InFlight


class Isolation:
    """Whose turn it is. Thread-safe; each lane's intake asks before it lets requests in, and leaves when it has.

    Args:
        in_flight: Of every lane.
    """

    def __init__(self, in_flight: Collection[InFlight]) -> None:
        self._in_flight = in_flight
        self._changed = threading.Condition()
        self._suspecting: set[Lane] = set()
        self._inside: set[Lane] = set()

    @property
    def is_on(self) -> bool:
        """Whether requests run in turns."""
        return bool(self._suspecting)

    def suspect(self, lane: Lane, has_suspects: bool) -> None:
        """A lane tells whether it has suspects that are not done."""
        with self._changed:
            if has_suspects:
                self._suspecting.add(lane)
            else:
                self._suspecting.discard(lane)

    def enter(self, lane: Lane) -> bool:
        """Whether a lane may let in what it has read; if so, it leaves when that is in flight."""
        with self._changed:
            if self._suspecting:
                return False
            self._inside.add(lane)
            return True

    def enter_alone(self, lane: Lane) -> bool:
        """Whether a lane may let in one turn; if so, it leaves when that is answered and nothing marks it."""
        with self._changed:
            if self._inside or any(bound.requests for bound in self._in_flight):
                return False
            self._inside.add(lane)
            return True

    def leave(self, lane: Lane) -> None:
        """Others may enter."""
        with self._changed:
            self._inside.discard(lane)
            self._changed.notify_all()

    def closed(self) -> None:
        """A request is in flight no longer; to be called from any thread, after each."""
        if self._suspecting:
            with self._changed:
                self._changed.notify_all()

    def wait(self, timeout_seconds: float) -> None:
        """Until it may be another's turn, or the time is up."""
        with self._changed:
            if self._inside or any(bound.requests for bound in self._in_flight):
                self._changed.wait(timeout_seconds)
