"""How much a lane may have in flight, in tokens and bytes; says when reading must pause.

Reading pauses at the bound and resumes at half of it: pausing throws librdkafka's prefetch away, so a pause a
batch would read everything twice. One request larger than the whole bound is let through when it is alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.response_sizes import response_bytes

if TYPE_CHECKING:
    from schemas.requests import EmbeddingRequest
    from schemas.served_model import Plan
    from transport.messages import Message

_BYTES_PER_TOKEN: Final = 4
"""Estimate until tokenization counts."""


@dataclass(slots=True)
class Reservation:
    """What one request holds of its lane's bound."""

    tokens: int
    bytes: int


class InFlight:
    """Tokens and bytes of one lane between intake and acknowledgement. Thread-safe.

    Args:
        max_tokens: Bound in tokens.
        max_bytes: Bound in bytes.
    """

    def __init__(self, max_tokens: int, max_bytes: int) -> None:
        self._max_tokens = max_tokens
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tokens = 0
        self._bytes = 0
        self._requests = 0
        self._full = False

    def reserve(self, tokens: int, size_bytes: int) -> Reservation:
        """Take room; never refuses, since what was read cannot be unread. `is_full` then stops the reading."""
        with self._lock:
            self._tokens += tokens
            self._bytes += size_bytes
            self._requests += 1
        return Reservation(tokens, size_bytes)

    def correct(self, reservation: Reservation, *, tokens: int) -> None:
        """Replace a reservation's estimate of tokens by their count."""
        with self._lock:
            self._tokens += tokens - reservation.tokens
            reservation.tokens = tokens

    def release(self, reservation: Reservation) -> None:
        """Give room back, once."""
        with self._lock:
            self._tokens -= reservation.tokens
            self._bytes -= reservation.bytes
            self._requests -= 1

    @property
    def is_full(self) -> bool:
        """Whether reading must pause: true from the bound on, until half of it is free again."""
        with self._lock:
            fill = max(self._tokens / self._max_tokens, self._bytes / self._max_bytes)
            self._full = fill >= 1.0 if not self._full else fill > 0.5
            return self._full

    @property
    def tokens(self) -> int:
        return self._tokens

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def requests(self) -> int:
        return self._requests


def expected_use(message: Message, request: EmbeddingRequest | None, chosen: Plan | None) -> tuple[int, int]:
    """Tokens and bytes a message holds from here to its acknowledgement, estimated."""
    size_bytes = len(message.value or b"")
    if request is None or chosen is None:
        return 0, size_bytes
    inputs, dim = len(request.inputs), chosen.dim
    vectors = inputs * dim * 4 + response_bytes(inputs, dim, request.encoding_format, chosen.embedding_type)
    return size_bytes // _BYTES_PER_TOKEN + inputs, size_bytes + vectors
