"""Until when a request wants its reply: one moment, from its arrival to the last wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the clock of the event loop."""

    granted_seconds: float
    """Time from the request's arrival to that moment."""
    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Deadline:
        """So many seconds from now."""
        return cls(seconds, now + seconds)

    def rest_seconds(self, now: float) -> float:
        """What is left of it, 0 once it has passed."""
        return max(0.0, self.at - now)
