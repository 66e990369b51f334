"""Chooses which waiting inputs form the next batch. Pure: no thread, no clock; time is an argument.

Each lane holds its waiting inputs ordered by token length. A batch starts from the lane's oldest input and grows
over its neighbours in length, nearest first, until the next one would pass the budget of padded tokens. So padding
stays small, and the oldest input is in every batch of its lane: one that has N older inputs before it waits at most
N batches. There is no wait window: while the device computes, work gathers; an idle device starts at once.

Interactive work comes before bulk, but bulk keeps a share of the padded tokens. While interactive inputs wait or came
in the last second, a bulk batch is cut to what the device does in a given time, so that nobody waits long behind it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .request import RequestInFlight

INTERACTIVE_MEMORY_SECONDS: Final = 1.0
_TAKEN_KEPT: Final = 256
_RATE_WEIGHT: Final = 0.2
"""Weight of the newest batch in the moving average of the device's speed."""


@dataclass(slots=True, eq=False)
class WaitingInput:
    """One tokenized input of a request."""

    item: RequestInFlight
    index: int
    ids: Sequence[int]
    tokens: int = field(init=False)
    taken: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.tokens = len(self.ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs for one forward pass, ordered by token length."""

    lane: Lane
    inputs: list[WaitingInput]
    launch_ahead: bool
    """Whether another batch may be launched before this one is done."""

    @property
    def padded_tokens(self) -> int:
        """Rows times the longest row."""
        return len(self.inputs) * max(waiting.tokens for waiting in self.inputs)


class _Window:
    """Waiting inputs of one lane, by age and by token length."""

    def __init__(self) -> None:
        self._by_age: deque[WaitingInput] = deque()
        self._by_tokens: list[WaitingInput] = []

    def __len__(self) -> int:
        return len(self._by_tokens)

    def add(self, inputs: Sequence[WaitingInput]) -> None:
        self._by_age.extend(inputs)
        if len(inputs) > 64:
            self._by_tokens.extend(inputs)
            self._by_tokens.sort(key=_tokens)
        else:
            for waiting in inputs:
                insort(self._by_tokens, waiting, key=_tokens)

    def take(self, budget_tokens: int, max_inputs: int) -> list[WaitingInput]:
        """Cut a batch around the oldest input; it alone may exceed the budget."""
        while self._by_age[0].taken:
            self._by_age.popleft()
        oldest = self._by_age[0]
        ordered = self._by_tokens
        first = bisect_left(ordered, oldest.tokens, key=_tokens)
        while ordered[first] is not oldest:
            first += 1
        last = first
        while last - first + 1 < max_inputs:
            count = last - first + 2
            shorter = first > 0 and count * ordered[last].tokens <= budget_tokens
            longer = last + 1 < len(ordered) and count * ordered[last + 1].tokens <= budget_tokens
            if not shorter and not longer:
                break
            nearer_below = shorter and (
                not longer or oldest.tokens - ordered[first - 1].tokens <= ordered[last + 1].tokens - oldest.tokens
            )
            if nearer_below:
                first -= 1
            else:
                last += 1
        taken = ordered[first : last + 1]
        del ordered[first : last + 1]
        for waiting in taken:
            waiting.taken = True
        if len(self._by_age) > 2 * len(ordered) + _TAKEN_KEPT:
            # What was taken out of turn must not be held until its turn would have come.
            self._by_age = deque(waiting for waiting in self._by_age if not waiting.taken)
        if not ordered:
            self._by_age.clear()
        return taken


class Scheduler:
    """The waiting inputs of both lanes and the rule by which batches are cut.

    Args:
        budget_tokens: Padded tokens of one batch.
        max_inputs: Inputs of one batch.
        bulk_share: Share of padded tokens that bulk keeps while interactive inputs wait, in [0, 1).
        interactive_bulk_seconds: Device time of a bulk batch while interactive traffic is about.
    """

    def __init__(
        self, budget_tokens: int, max_inputs: int, *, bulk_share: float, interactive_bulk_seconds: float
    ) -> None:
        self._budget_tokens = budget_tokens
        self._max_inputs = max_inputs
        self._bulk_share = bulk_share
        self._interactive_bulk_seconds = interactive_bulk_seconds
        self._windows = {lane: _Window() for lane in Lane}
        self._bulk_credit_tokens = 0.0
        self._interactive_seen_at: float | None = None
        self._tokens_per_second: float | None = None

    def __len__(self) -> int:
        return sum(len(window) for window in self._windows.values())

    def add(self, inputs: Sequence[WaitingInput], now: float) -> None:
        """Take in the inputs of one request."""
        if not inputs:
            return
        lane = inputs[0].item.lane
        if lane is Lane.INTERACTIVE:
            self._interactive_seen_at = now
        self._windows[lane].add(inputs)

    def next_batch(self, now: float) -> Batch | None:
        """Cut the next batch; None when nothing waits."""
        lane = self._next_lane()
        if lane is None:
            return None
        ahead = self.may_launch_ahead(now)
        budget = self._budget_tokens
        if lane is Lane.BULK and not ahead and self._tokens_per_second is not None:
            budget = min(budget, max(1, int(self._tokens_per_second * self._interactive_bulk_seconds)))
        batch = Batch(lane, self._windows[lane].take(budget, self._max_inputs), launch_ahead=ahead)
        self._account(batch)
        return batch

    def may_launch_ahead(self, now: float) -> bool:
        """Whether a batch may be launched while another is under way: not while interactive traffic is about."""
        if len(self._windows[Lane.INTERACTIVE]):
            return False
        return self._interactive_seen_at is None or now - self._interactive_seen_at >= INTERACTIVE_MEMORY_SECONDS

    def measured(self, padded_tokens: int, seconds: float) -> None:
        """Learn the device's speed from a batch that is done."""
        if seconds <= 0:
            return
        rate = padded_tokens / seconds
        known = self._tokens_per_second
        self._tokens_per_second = rate if known is None else known + _RATE_WEIGHT * (rate - known)

    def _next_lane(self) -> Lane | None:
        interactive, bulk = (len(self._windows[lane]) > 0 for lane in (Lane.INTERACTIVE, Lane.BULK))
        if interactive and bulk:
            return Lane.BULK if self._bulk_credit_tokens > 0 else Lane.INTERACTIVE
        if interactive:
            return Lane.INTERACTIVE
        return Lane.BULK if bulk else None

    def _account(self, batch: Batch) -> None:
        """While both lanes wait, interactive tokens earn bulk its share, and bulk tokens spend it."""
        other = Lane.BULK if batch.lane is Lane.INTERACTIVE else Lane.INTERACTIVE
        if not len(self._windows[other]):
            self._bulk_credit_tokens = 0.0
        elif batch.lane is Lane.INTERACTIVE:
            self._bulk_credit_tokens += batch.padded_tokens * self._bulk_share / (1 - self._bulk_share)
        else:
            self._bulk_credit_tokens -= batch.padded_tokens


def _tokens(waiting: WaitingInput) -> int:
    return waiting.tokens
