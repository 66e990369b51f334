"""How large the share of requests is that fail through our fault, over a sliding window; pure, time is an argument.

What callers do wrong never counts here: one bad producer must not halt the others. When we fail request after
request, going on would only fill the dead-letter topic.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .errors import OwnFailuresError
from .outcomes import is_our_fault

if TYPE_CHECKING:
    from schemas.errors import ErrorCode

    from .settings import OwnFailureSettings

_SLICES: Final = 60
"""Of a window; the oldest one leaves it as a whole."""


@dataclass(slots=True)
class _Slice:
    number: int
    requests: int = 0
    failures: Counter[ErrorCode] = field(default_factory=Counter)


class OwnFailures:
    """Counts requests and those of them that failed through our fault. From one thread at a time.

    Args:
        limit: The share, and what it is taken of.
    """

    def __init__(self, limit: OwnFailureSettings) -> None:
        self._limit = limit
        self._slice_seconds = limit.window_seconds / _SLICES
        self._slices: deque[_Slice] = deque()

    def count(self, now: float, code: ErrorCode | None) -> None:
        """Take note of one request whose end is known, before any of it is published.

        Args:
            now: Seconds of a clock that never goes back.
            code: What it failed with; None: it did not.

        Raises:
            OwnFailuresError: With this one there are too many; it is neither answered nor kept.
        """
        number = int(now / self._slice_seconds)
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
            while self._slices[0].number <= number - _SLICES:
                self._slices.popleft()
        latest = self._slices[-1]
        latest.requests += 1
        if code is not None and is_our_fault(code):
            latest.failures[code] += 1
            self._check()

    def _check(self) -> None:
        limit = self._limit
        failures: Counter[ErrorCode] = Counter()
        for one in self._slices:
            failures += one.failures
        failed, requests = failures.total(), sum(one.requests for one in self._slices)
        if failed < limit.at_least or failed <= limit.share * requests:
            return
        codes = ", ".join(f"{code} {count}" for code, count in failures.most_common())
        raise OwnFailuresError(
            f"{failed} of {requests} requests of the last {limit.window_seconds:g} s failed through our fault "
            f"({codes}), more than own_failures.share = {limit.share:g} allows: see the errors logged before this; "
            "nothing unanswered is committed"
        )
