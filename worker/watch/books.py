"""What one lane has read, what has become of it, and what is still owed an answer.

Called twice a request, on the way in and on the way out: plain numbers under one lock, made into metrics only when
somebody asks.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from schemas.errors import ErrorCode
from schemas.headers import DEADLINE, REPLY_PARTITION, REPLY_TOPIC

from ..outcomes import ends_in
from .samples import SECONDS, Distribution, Sample
from .table import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.topics import Lane

    from ..request import RequestInFlight


class LaneBooks:
    """One lane's requests. Thread-safe.

    Args:
        lane: Which.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._lock = threading.Lock()
        self._read_at: dict[RequestInFlight, float] = {}
        """Of what is unanswered, oldest first."""
        self._answered = 0
        self._otherwise: Counter[Outcome] = Counter()
        self._failures: Counter[ErrorCode] = Counter()
        self._dead_letters: Counter[ErrorCode] = Counter()
        self._malformed: Counter[str] = Counter()
        self._inputs = self._tokens = 0
        self._seconds = Distribution(SECONDS)

    def read(self, items: Sequence[RequestInFlight], now: float) -> None:
        """Requests were read."""
        with self._lock:
            for item in items:
                self._read_at[item] = now

    def closed(self, item: RequestInFlight, acknowledged: bool, now: float) -> None:
        """A request is over.

        Args:
            item: The request.
            acknowledged: Whether the broker has all it led to; otherwise it was discarded.
            now: On the monotonic clock.
        """
        error = item.error
        with self._lock:
            read_at = self._read_at.pop(item, now)
            if item.headers.malformed:
                self._malformed.update(item.headers.malformed)
            if not acknowledged:
                self._otherwise[Outcome.DISCARDED] += 1
                return
            self._seconds.observe(now - read_at)
            if error is not None:
                self._otherwise[Outcome.FAILED] += 1
                self._failures[error.code] += 1
                self._dead_letters[error.code] += ends_in(item.lane, error).dead_letter
            elif item.request is None:
                self._otherwise[Outcome.TOMBSTONE] += 1
            else:
                self._answered += 1
                self._inputs += len(item.request.inputs)
                self._tokens += item.prompt_tokens

    def oldest(self) -> tuple[RequestInFlight, float] | None:
        """The request that was read first of those unanswered, and when."""
        with self._lock:
            return next(iter(self._read_at.items()), None)

    @property
    def is_over(self) -> int:
        """How many requests are over."""
        with self._lock:
            return self._answered + self._otherwise.total()

    def dead_letters(self) -> Counter[ErrorCode]:
        """How many, by code."""
        with self._lock:
            return self._dead_letters.copy()

    def malformed(self) -> Counter[str]:
        """How many, by header."""
        with self._lock:
            return self._malformed.copy()

    def samples(self, now: float) -> Iterator[Sample]:
        """See `samples.Source`."""
        lane, oldest = self._lane.value, self.oldest()
        with self._lock:
            outcomes, failures = self._otherwise.copy(), self._failures.copy()
            outcomes[Outcome.ANSWERED] = self._answered
            inputs, tokens, seconds = self._inputs, self._tokens, self._seconds.told()
        yield Sample("oldest_unanswered_seconds", (lane,), 0.0 if oldest is None else now - oldest[1])
        for outcome in Outcome:
            yield Sample("requests_total", (lane, outcome), outcomes[outcome])
        # From zero, so that the first one of each is a rise.
        for code in ErrorCode:
            yield Sample("failed_requests_total", (lane, code), failures[code])
        yield Sample("inputs_total", (lane,), inputs)
        yield Sample("prompt_tokens_total", (lane,), tokens)
        yield Sample("request_duration_seconds", (lane,), seconds)


class AllBooks:
    """What is told of both lanes together.

    Args:
        books: Of each lane.
    """

    def __init__(self, books: Sequence[LaneBooks]) -> None:
        self._books = books

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        letters: Counter[ErrorCode] = Counter()
        malformed: Counter[str] = Counter()
        for books in self._books:
            letters.update(books.dead_letters())
            malformed.update(books.malformed())
        for code in ErrorCode:
            yield Sample("dead_letters_total", (code,), letters[code])
        for header in (DEADLINE, REPLY_TOPIC, REPLY_PARTITION):
            yield Sample("malformed_headers_total", (header,), malformed[header])
