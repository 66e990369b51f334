"""Which dead letters are meant: pure, the time is an argument."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from schemas.errors import ErrorCode
from schemas.topics import TopicNames

from .errors import FilterError
from .letters import NO_ORIGIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .letters import DeadLetter

_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a dead letter must be, all of it; None: anything."""

    codes: frozenset[str] | None = None
    topics: frozenset[str] | None = None
    """Of these it came from one."""
    partition: int | None = None
    """Of its origin."""
    offset: int | None = None
    """Of its origin."""
    key: bytes | None = None
    request_id: str | None = None
    since_ms: int | None = None
    """It became a dead letter then or later."""
    until_ms: int | None = None
    """It became a dead letter before."""
    places: frozenset[tuple[int, int]] | None = None
    """On the dead-letter topic."""

    @property
    def is_empty(self) -> bool:
        """Whether everything is meant."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def match(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant."""
        origin, message = letter.origin, letter.message
        if self.codes is not None and letter.code not in self.codes:
            return False
        if self.topics is not None and (origin is None or origin.topic not in self.topics):
            return False
        if self.partition is not None and (origin is None or origin.partition != self.partition):
            return False
        if self.offset is not None and (origin is None or origin.offset != self.offset):
            return False
        if self.key is not None and message.key != self.key:
            return False
        if self.since_ms is not None and message.timestamp_ms < self.since_ms:
            return False
        if self.until_ms is not None and message.timestamp_ms >= self.until_ms:
            return False
        if self.places is not None and letter.place not in self.places:
            return False
        # Last, since it decodes the payload.
        return self.request_id is None or letter.request_id == self.request_id


def build_filters(
    *,
    prefix: str,
    now_ms: int,
    codes: Sequence[str] = (),
    topics: Sequence[str] = (),
    slug: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
    key: str | None = None,
    request_id: str | None = None,
    since: str | None = None,
    until: str | None = None,
    places: Sequence[tuple[int, int]] = (),
) -> Filters:
    """Filters from what a command line says.

    Raises:
        FilterError: A code, a slug or a time that is none.
    """
    for code in codes:
        if code != NO_ORIGIN and code not in ErrorCode._value2member_map_:
            raise FilterError(f"no code {code!r}: name one of the table of error codes in docs/messages.md")
    wanted = set(topics)
    if slug is not None:
        try:
            of_model = TopicNames(prefix, slug)
        except ValueError as error:
            raise FilterError(str(error)) from error
        wanted |= {of_model.requests, of_model.requests_interactive}
    return Filters(
        codes=frozenset(codes) or None,
        topics=frozenset(wanted) or None,
        partition=partition,
        offset=offset,
        key=None if key is None else key.encode(),
        request_id=request_id,
        since_ms=None if since is None else read_time(since, now_ms),
        until_ms=None if until is None else read_time(until, now_ms),
        places=frozenset(places) or None,
    )


def read_time(text: str, now_ms: int) -> int:
    """Epoch milliseconds of `30m` (ago; s, m, h, d), or of an ISO 8601 time, in UTC unless it says otherwise.

    Raises:
        FilterError: It is neither.
    """
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise FilterError(f"no time {text!r}: say how long ago (30m, 2h, 7d), or 2026-01-31T03:00") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
