"""How much the API accepts at once, in bytes and in tokens; beyond it callers are told at once to come back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.errors import ErrorCode, RequestError

from .token_estimate import tokens_of_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDECLARED_BYTES: Final = 65_536
"""Most that is counted for a body before it arrives: the server reads that much before anybody asks for it.

A declared length is a promise. Counted in full, a few senders that never keep it would shut everybody else out.

Source: `uvicorn/protocols/http/flow_control.py`, `HIGH_WATER_LIMIT`.
"""


@dataclass(slots=True)
class Place:
    """The room of one request."""

    _admission: Admission
    size_bytes: int = 0
    tokens: int = 0

    def grow(self, size_bytes: int) -> None:
        """Make room for a body that is at least this large by now.

        Raises:
            RequestError: `overloaded`; the place is as large as before.
        """
        if size_bytes > self.size_bytes:
            self._admission.resize(self, size_bytes, tokens_of_bytes(size_bytes))

    def settle(self, size_bytes: int, tokens: int) -> None:
        """Put what was read in place of what was expected; never refused, since it is here already."""
        self._admission.count(self, size_bytes, tokens)

    def expect(self, answer_bytes: int) -> None:
        """Make room for the answer beside the body.

        Raises:
            RequestError: `overloaded`; the place is as large as before.
        """
        self._admission.resize(self, self.size_bytes + answer_bytes, self.tokens)

    def answered(self, answer_bytes: int) -> None:
        """Put the answer in place of everything else: the body is done with, and nothing is computed any more."""
        self._admission.count(self, answer_bytes, 0)


class Admission:
    """Bytes and tokens of the requests under way, answers included. For one event loop.

    Args:
        max_bytes: Bound; what is larger than it is admitted when it is alone.
        max_tokens: Bound on estimated tokens, likewise.
    """

    def __init__(self, max_bytes: int, max_tokens: int) -> None:
        self._max_bytes = max_bytes
        self._max_tokens = max_tokens
        self.used_bytes = 0
        self.used_tokens = 0
        self.requests = 0
        self.is_closed = False

    def close(self) -> None:
        """Take nothing more; what was admitted goes on."""
        self.is_closed = True

    @contextmanager
    def admit(self, declared_bytes: int | None) -> Iterator[Place]:
        """Hold room for one request, from before its body is read until its answer is sent or its caller is gone.

        Args:
            declared_bytes: Length of its body, None where nobody says. Beyond `UNDECLARED_BYTES` the place grows
                with what is read.

        Raises:
            RequestError: `overloaded`, or `unavailable` once closed; nothing was started.
        """
        if self.is_closed:
            raise RequestError(ErrorCode.UNAVAILABLE, "the service is stopping: try again")
        place = Place(self)
        place.grow(UNDECLARED_BYTES if declared_bytes is None else min(declared_bytes, UNDECLARED_BYTES))
        self.requests += 1
        try:
            yield place
        finally:
            self.requests -= 1
            self.count(place, 0, 0)

    def resize(self, place: Place, size_bytes: int, tokens: int) -> None:
        """Give a place another size.

        Raises:
            RequestError: `overloaded`; it has the size it had.
        """
        other_bytes, other_tokens = self.used_bytes - place.size_bytes, self.used_tokens - place.tokens
        too_much = other_bytes + size_bytes > self._max_bytes or other_tokens + tokens > self._max_tokens
        if too_much and (other_bytes or other_tokens):
            raise RequestError(ErrorCode.OVERLOADED, "too much is under way already: try again in a second")
        self.count(place, size_bytes, tokens)

    def count(self, place: Place, size_bytes: int, tokens: int) -> None:
        """Give a place another size, whatever there is room for."""
        self.used_bytes += size_bytes - place.size_bytes
        self.used_tokens += tokens - place.tokens
        place.size_bytes, place.tokens = size_bytes, tokens
