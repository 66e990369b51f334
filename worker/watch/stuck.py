"""Tells a request that is stuck from one that waits its turn, or waits for the broker. Pure: time is an argument.

Under a deep backlog a request may wait for minutes and nothing is wrong. So it is not its age that counts but how
long the oldest request of a lane stays the oldest without any of its inputs getting done (decision 18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from ..request import RequestInFlight

_LEAST_SECONDS: Final = 60.0
_TIMES_SLOWEST: Final = 5
LOOK_EVERY_SECONDS: Final = 1.0


class Place:
    """Where a request is, as far as can be seen from it."""

    TOKENIZATION = "tokenization"
    ENCODER = "encoder"
    PUBLISHER = "publisher"
    BROKER = "broker"


def place_of(item: RequestInFlight) -> str:
    """Who has a request now."""
    if item.unacknowledged > 0:
        return Place.BROKER
    if item.remaining > 0:
        return Place.ENCODER
    if item.is_tombstone or item.error is not None or item.prompt_tokens > 0:
        return Place.PUBLISHER
    return Place.TOKENIZATION


def bound_seconds(slowest_batch_seconds: float, chosen_seconds: float | None) -> float:
    """How long nothing may get done of the oldest request."""
    if chosen_seconds is not None:
        return chosen_seconds
    return max(_LEAST_SECONDS, _TIMES_SLOWEST * slowest_batch_seconds)


class Stuck(NamedTuple):
    """A request of which nothing gets done."""

    item: RequestInFlight
    place: str
    seconds: float


_Progress: TypeAlias = "tuple[RequestInFlight, str, int, int]"


class StuckWatch:
    """Looks at the oldest request of one lane again and again."""

    def __init__(self) -> None:
        self._last: _Progress | None = None
        self._looked_at = float("-inf")
        self._seconds = 0.0

    def look(
        self, oldest: RequestInFlight | None, now: float, bound: float, *, broker_answers: bool, others_done: int = 0
    ) -> Stuck | None:
        """Say whether it is stuck.

        Args:
            oldest: The lane's oldest unanswered request; None: there is none.
            now: On the monotonic clock.
            bound: As `bound_seconds` gives it.
            broker_answers: Whether the broker has taken something lately.
            others_done: Requests that may rightly go before, and did so far.
        """
        # A process that was stopped and goes on has not been waiting for itself.
        passed = min(now - self._looked_at, 2 * LOOK_EVERY_SECONDS)
        self._looked_at = now
        if oldest is None:
            self._last = None
            return None
        place = place_of(oldest)
        progress = (oldest, place, oldest.remaining, others_done)
        if progress != self._last:
            self._last, self._seconds = progress, 0.0
            return None
        # What the broker has not taken is the broker's: it is retried for ever, and another worker could do no more.
        if place == Place.BROKER or (place == Place.PUBLISHER and not broker_answers):
            return None
        self._seconds += passed
        return Stuck(oldest, place, self._seconds) if self._seconds >= bound else None
