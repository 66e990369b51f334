"""A request in flight: what is known of one message between intake and the acknowledgement of its answer.

Made at intake, carried through every stage, closed by the publisher. Stages hand it on, never share it: only one
stage at a time holds it, and the slots of the encoder write to it one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.requests import EmbeddingRequest, EmbeddingType, EncodingFormat, Truncate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schemas.errors import RequestError, UnanswerableError
    from schemas.headers import RequestHeaders
    from schemas.topics import Lane
    from transport.messages import Message
    from transport.offsets import Submitted

    from .bounds import Reservation
    from .destinations import Destination

_KEY_SHOWN_BYTES: Final = 128


@dataclass(slots=True, eq=False)
class RequestInFlight:
    """One message and what has become of it so far."""

    lane: Lane
    message: Message
    submitted: Submitted
    headers: RequestHeaders
    destination: Destination | None
    """Where the answer goes; None while unknown and for what has no answer."""
    reservation: Reservation
    request: EmbeddingRequest | None = None
    """None for a tombstone and for what could not be decoded."""
    prefix: str = ""
    """Text put before each input, by its role."""
    dim: int = 0
    """Length of the vectors to compute."""
    embedding_type: EmbeddingType = EmbeddingType.FLOAT
    """What their numbers become."""
    error: RequestError | UnanswerableError | None = None
    """The first thing that went wrong; inputs not yet computed are then left out."""
    prompt_tokens: int = 0
    remaining: int = 0
    """Inputs not yet computed."""
    unacknowledged: int = 0
    """Messages published for this request that the broker has not confirmed."""
    is_alone: bool = False
    """Whether nothing else is under way in this process until it is answered."""
    _vectors: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def is_tombstone(self) -> bool:
        return self.message.value is None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Shape `(inputs, dim)`, unit rows, input order; complete once `remaining` is 0."""
        if self._vectors is None:
            count = len(self.request.inputs) if self.request else 0
            self._vectors = np.empty((count, self.dim), dtype=np.float32)
        return self._vectors

    @property
    def truncate(self) -> Truncate:
        return self.request.truncate if self.request else Truncate.NONE

    @property
    def encoding(self) -> EncodingFormat:
        return self.request.encoding_format if self.request else EncodingFormat.FLOAT

    def deliver(self, index: int, vector: NDArray[np.float32]) -> bool:
        """Take the vector of one input, shape `(>= dim,)`.

        Returns:
            Whether this was the last one.
        """
        self.vectors[index] = vector[: self.dim]
        return self.settle()

    def settle(self) -> bool:
        """Count one input as dealt with, computed or given up.

        Returns:
            Whether this was the last one.
        """
        self.remaining -= 1
        return self.remaining == 0

    def fail(self, error: RequestError | UnanswerableError) -> None:
        """Keep the first error."""
        if self.error is None:
            self.error = error


def origin_of(item: RequestInFlight) -> dict[str, Any]:
    """Which request a line of the log is about: its id, key and place. Never its text."""
    message, error = item.message, item.error
    request_id = item.request.id if item.request else getattr(error, "request_id", None)
    key = None if message.key is None else message.key[:_KEY_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return {
        "request_id": request_id,
        "key": key,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
    }
