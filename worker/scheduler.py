"""Chooses which waiting inputs form the next batch. Pure: no thread, no clock; time is an argument.

Each lane holds its waiting inputs ordered by token length. A batch starts from the lane's oldest input and grows
over its neighbours in length, nearest first, until the next one would pass the budget of tokens. So padding stays
small, and the oldest input is in every batch of its lane. Once 64 batches of its lane have passed an input over,
nobody passes it over any more who came later than the 64 batches it came among: it waits for its elders and peers.
There is no wait window: while the device computes, work gathers; an idle device starts at once, and where several
batches compute side by side, what little waits is shared out among the idle ones.

Interactive work comes before bulk, but bulk keeps a share of the tokens. While interactive inputs wait or came
in the last second, a bulk batch is cut to what the device does in a given time, so that nobody waits long behind it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.topics import Lane

from .deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from .request import RequestInFlight

INTERACTIVE_MEMORY_SECONDS: Final = 1.0
_TAKEN_KEPT: Final = 256
_RATE_WEIGHT: Final = 0.2
"""Weight of the newest batch in the moving average of the device's speed."""
MOST_PASSED_OVER: Final = 64
"""Batches of its lane that may pass an input over before those that came later may not; as many make a generation."""
_LEAST_SHARED_TOKENS: Final = 256
"""Smaller batches gain nothing by running side by side: a product of fewer rows is no faster."""
_GROWTH: Final = 1 / 64
"""Part of the whole budget that a batch gives back after the device ran out of memory."""


@dataclass(slots=True, eq=False)
class WaitingInput:
    """One tokenized input of a request."""

    item: RequestInFlight
    index: int
    ids: Sequence[int]
    unpooled: int = 0
    """Tokens at its front that pooling leaves out."""
    tokens: int = field(init=False)
    taken: bool = field(init=False, default=False)
    came_after: int = field(init=False, default=0)
    """Batches of its lane cut before it came."""
    leads_by: Hashable | None = field(init=False, default=None)
    """What those that follow it find it by; None: none can."""
    failed_before: bool = field(init=False, default=False)
    """Whether the same input of another request failed, and this one stands in for it."""

    @property
    def generation(self) -> int:
        """Those who came among the same batches share it."""
        return self.came_after // MOST_PASSED_OVER

    def __post_init__(self) -> None:
        self.tokens = len(self.ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs for one forward pass, ordered by token length."""

    lane: Lane
    inputs: list[WaitingInput]
    cost_tokens: int
    """Tokens it takes of the budget: padded ones where the encoder pads."""


class _Cost:
    """Tokens that inputs would take of the budget."""

    def __init__(self, is_padded: bool) -> None:
        self._is_padded = is_padded
        self._count = self._sum = self._longest = 0

    def with_another(self, tokens: int) -> int:
        if self._is_padded:
            return (self._count + 1) * max(self._longest, tokens)
        return self._sum + tokens

    def add(self, tokens: int) -> None:
        self._count += 1
        self._sum += tokens
        self._longest = max(self._longest, tokens)

    @property
    def tokens(self) -> int:
        return self._count * self._longest if self._is_padded else self._sum


class _Window:
    """Waiting inputs of one lane, by age and by token length."""

    def __init__(self, is_padded: bool) -> None:
        self._is_padded = is_padded
        self._by_age: deque[WaitingInput] = deque()
        self._by_tokens: list[WaitingInput] = []
        self._batches = 0
        self._youngest = 0
        """Generation of the newest."""
        self.tokens = 0
        """Of all that waits."""

    def __len__(self) -> int:
        return len(self._by_tokens)

    def add(self, inputs: Sequence[WaitingInput]) -> None:
        for waiting in inputs:
            waiting.taken = False
            waiting.came_after = self._batches
            self._youngest = waiting.generation
            self.tokens += waiting.tokens
        self._by_age.extend(inputs)
        if len(inputs) > 64:
            self._by_tokens.extend(inputs)
            self._by_tokens.sort(key=_tokens)
        else:
            for waiting in inputs:
                insort(self._by_tokens, waiting, key=_tokens)

    def take(self, budget_tokens: int, max_inputs: int) -> tuple[list[WaitingInput], int]:
        """Cut a batch around the oldest input; it alone may exceed the budget.

        Returns:
            The inputs, ordered by token length, and what they take of the budget.
        """
        while self._by_age[0].taken:
            self._by_age.popleft()
        oldest = self._by_age[0]
        overdue = self._batches - oldest.came_after >= MOST_PASSED_OVER and oldest.generation < self._youngest
        ordered = self._by_tokens
        if overdue:
            ordered = [waiting for waiting in ordered if waiting.generation <= oldest.generation]
        cost = _Cost(self._is_padded)
        first, last = _grow(ordered, oldest, cost, budget_tokens, max_inputs)
        taken = ordered[first : last + 1]
        for waiting in taken:
            waiting.taken = True
            self.tokens -= waiting.tokens
        if overdue:
            self._by_tokens = [waiting for waiting in self._by_tokens if not waiting.taken]
        else:
            del ordered[first : last + 1]
        self._batches += 1
        self._forget_taken()
        return taken, cost.tokens

    def drop(self, inputs: Sequence[WaitingInput]) -> None:
        """Let go of inputs that need not be computed."""
        for waiting in inputs:
            waiting.taken = True
            self.tokens -= waiting.tokens
        self._by_tokens = [waiting for waiting in self._by_tokens if not waiting.taken]
        self._forget_taken()

    def _forget_taken(self) -> None:
        if len(self._by_age) > 2 * len(self._by_tokens) + _TAKEN_KEPT:
            # What was taken out of turn must not be held until its turn would have come.
            self._by_age = deque(waiting for waiting in self._by_age if not waiting.taken)
        if not self._by_tokens:
            self._by_age.clear()


def _grow(
    ordered: Sequence[WaitingInput], oldest: WaitingInput, cost: _Cost, budget_tokens: int, max_inputs: int
) -> tuple[int, int]:
    """First and last place of the oldest input and its neighbours in length, nearest first, that fit the budget."""
    first = bisect_left(ordered, oldest.tokens, key=_tokens)
    while ordered[first] is not oldest:
        first += 1
    last = first
    cost.add(oldest.tokens)
    while last - first + 1 < max_inputs:
        shorter = first > 0 and cost.with_another(ordered[first - 1].tokens) <= budget_tokens
        longer = last + 1 < len(ordered) and cost.with_another(ordered[last + 1].tokens) <= budget_tokens
        if not shorter and not longer:
            break
        nearer_below = shorter and (
            not longer or oldest.tokens - ordered[first - 1].tokens <= ordered[last + 1].tokens - oldest.tokens
        )
        if nearer_below:
            first -= 1
        else:
            last += 1
        cost.add(ordered[first if nearer_below else last].tokens)
    return first, last


class Scheduler:
    """The waiting inputs of both lanes and the rule by which batches are cut.

    Args:
        budget_tokens: Tokens of one batch; padded ones where the encoder pads.
        max_inputs: Inputs of one batch.
        bulk_share: Share of tokens that bulk keeps while interactive inputs wait, in [0, 1).
        interactive_bulk_seconds: Device time of a bulk batch while interactive traffic is about.
        is_padded: Whether a batch costs its rows times its longest row, or its tokens.
    """

    def __init__(
        self,
        budget_tokens: int,
        max_inputs: int,
        *,
        bulk_share: float,
        interactive_bulk_seconds: float,
        is_padded: bool = True,
    ) -> None:
        self._most_budget_tokens = self._budget_tokens = budget_tokens
        self._max_inputs = max_inputs
        self._bulk_share = bulk_share
        self._interactive_bulk_seconds = interactive_bulk_seconds
        self._windows = {lane: _Window(is_padded) for lane in Lane}
        self._deadlines = Deadlines()
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
        self._deadlines.add(inputs, len(self))

    def expired(self, now_ms: float) -> list[WaitingInput]:
        """Take out the inputs whose deadline has passed, so that no batch is cut with them.

        Args:
            now_ms: Of the clock that deadlines are given in.
        """
        passed = self._deadlines.passed(now_ms)
        for lane in Lane if passed else ():
            if of_lane := [waiting for waiting in passed if waiting.item.lane is lane]:
                self._windows[lane].drop(of_lane)
        return passed

    def next_batch(self, now: float, idle_slots: int = 1) -> Batch | None:
        """Cut the next batch; None when nothing waits.

        Args:
            now: The time, in seconds.
            idle_slots: Batches that could start computing now; what waits is shared out among them.
        """
        lane = self._next_lane()
        if lane is None:
            return None
        window, budget = self._windows[lane], self._budget_tokens
        if lane is Lane.BULK and self._tokens_per_second is not None and not self.may_launch_ahead(now):
            budget = min(budget, max(1, int(self._tokens_per_second * self._interactive_bulk_seconds)))
        if idle_slots > 1:
            budget = min(budget, max(_LEAST_SHARED_TOKENS, -(-window.tokens // idle_slots)))
        batch = Batch(lane, *window.take(budget, self._max_inputs))
        self._account(batch)
        return batch

    def may_launch_ahead(self, now: float) -> bool:
        """Whether a batch may be launched while another is under way: not while interactive traffic is about."""
        if len(self._windows[Lane.INTERACTIVE]):
            return False
        return self._interactive_seen_at is None or now - self._interactive_seen_at >= INTERACTIVE_MEMORY_SECONDS

    def measured(self, lane: Lane, cost_tokens: int, seconds: float) -> None:
        """Learn from a batch that is done.

        That the device had room for a batch of a fair size gives some of the budget back. Its speed is learnt from
        bulk: an interactive batch of one short text says how long it takes to start one.
        """
        most = self._most_budget_tokens
        if cost_tokens >= self._budget_tokens // 2:
            self._budget_tokens = min(most, self._budget_tokens + max(1, int(most * _GROWTH)))
        if lane is Lane.INTERACTIVE or seconds <= 0:
            return
        rate = cost_tokens / seconds
        known = self._tokens_per_second
        self._tokens_per_second = rate if known is None else known + _RATE_WEIGHT * (rate - known)

    def out_of_memory(self, cost_tokens: int) -> None:
        """The device had no room for a batch of so many tokens: batches are half of that until it has again."""
        self._budget_tokens = max(1, min(self._budget_tokens, cost_tokens) // 2)

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
            self._bulk_credit_tokens += batch.cost_tokens * self._bulk_share / (1 - self._bulk_share)
        else:
            self._bulk_credit_tokens -= batch.cost_tokens


def _tokens(waiting: WaitingInput) -> int:
    return waiting.tokens
