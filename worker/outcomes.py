"""What becomes of a request that failed, as a table: who is told, and whether it is kept as a dead letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import ERRORS, ErrorCode, RequestError, UnanswerableError
from schemas.topics import Lane

if TYPE_CHECKING:
    from .request import RequestInFlight


@dataclass(frozen=True, slots=True)
class Fate:
    """The messages a failure leads to; the offset moves on when the broker has them all."""

    error_response: bool
    dead_letter: bool


def fate_of(lane: Lane, error: RequestError | UnanswerableError) -> Fate:
    """The row of the table.

    | failure | interactive lane | bulk lane |
    |---|---|---|
    | breaks the contract, id readable | error response | error response and dead letter |
    | cannot be answered, or its destination cannot take it | dead letter | dead letter |
    | deadline passed | error response | error response |
    | our fault | error response and dead letter | error response and dead letter |
    """
    if isinstance(error, UnanswerableError):
        return Fate(error_response=False, dead_letter=True)
    if error.code is ErrorCode.TIMEOUT:
        return Fate(error_response=True, dead_letter=False)
    if is_our_fault(error.code):
        return Fate(error_response=True, dead_letter=True)
    return Fate(error_response=True, dead_letter=lane is Lane.BULK)


def ends_in(lane: Lane, error: RequestError | UnanswerableError) -> Fate:
    """What this failure leads to: its row of the table; what has no id to answer under is kept instead."""
    if isinstance(error, RequestError) and error.request_id is None:
        return Fate(error_response=False, dead_letter=True)
    return fate_of(lane, error)


def is_our_fault(code: ErrorCode) -> bool:
    """Whether a request that failed so failed through us; too late is the caller's deadline."""
    return ERRORS[code].ours and code is not ErrorCode.TIMEOUT


def deadline_error(item: RequestInFlight, now_ms: float, clock_skew_ms: float) -> RequestError | None:
    """The error of a request whose deadline is past, when it is."""
    deadline_ms = item.headers.deadline_ms
    if deadline_ms is None or now_ms <= deadline_ms + clock_skew_ms or item.request is None:
        return None
    return RequestError(
        ErrorCode.TIMEOUT,
        f"the deadline passed {int(now_ms - deadline_ms)} ms ago: not computed; allow more time or send less at once",
        request_id=item.request.id,
        metadata=item.request.metadata,
    )
