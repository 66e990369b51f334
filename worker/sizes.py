"""Whether a response will fit its destination: each topic's limit, and a response's size before it is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.errors import ErrorCode, RequestError
from schemas.response_sizes import response_bytes, sized_flat_bytes, sized_response_bytes

from .destinations import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .request import RequestInFlight

_FRAME_BYTES: Final = 1024
"""Room for our own headers and the framing of a message, beside its key and what the caller's headers take."""
_LONGEST_REWRITTEN: Final = 6
"""Bytes that one of a request's may become: numbers such as `1e9` are written out, other texts get no longer."""


class Sizes:
    """What fits where.

    Args:
        default_bytes: Largest message of a topic whose limit is not known.
        limits: Largest message of the others, by topic.
    """

    def __init__(self, default_bytes: int, limits: Mapping[str, int]) -> None:
        self._default_bytes = default_bytes
        self._limits = limits

    def limit(self, topic: str) -> int:
        """Largest message a topic takes, in bytes, key and headers included."""
        return self._limits.get(topic, self._default_bytes)

    def room(self, item: RequestInFlight) -> int:
        """Largest value of a request's response, in bytes."""
        if item.destination is None or item.request is None:
            raise AssertionError("what has a response has a destination and was decoded")
        given = item.headers
        around = sum(map(len, (given.correlation_id or b"", given.traceparent or b"", given.tracestate or b"")))
        return self.limit(item.destination.topic) - _FRAME_BYTES - len(item.request.id.encode()) - around

    def too_large_for_sure(self, item: RequestInFlight) -> RequestError | None:
        """The error of a request whose response cannot fit, told before it is computed, once its tokens are counted.

        Exact for base64; of numbers, some turn out too large once they are written.
        """
        request, destination, room = item.request, item.destination, self.room(item)
        if request is None or destination is None:
            return None
        inputs, encoding, kind = len(request.inputs), request.encoding_format, item.embedding_type
        most = response_bytes(inputs, item.dim, encoding, kind)
        if most + _LONGEST_REWRITTEN * len(item.message.value or b"") <= room:
            return None
        if destination.profile is Profile.FLAT:
            size = sized_flat_bytes(
                request_id=request.id,
                model=request.model,
                dim=item.dim,
                encoding=encoding,
                kind=kind,
                metadata=request.metadata,
            )
        else:
            size = sized_response_bytes(
                request_id=request.id,
                model=request.model,
                inputs=inputs,
                dim=item.dim,
                encoding=encoding,
                kind=kind,
                prompt_tokens=item.prompt_tokens,
                metadata=request.metadata,
            )
        return self.error(item, size) if size > room else None

    def error(self, item: RequestInFlight, size_bytes: int | None = None) -> RequestError:
        """The error of a response that is too large, naming size and limit where they are known."""
        where = ""
        if item.destination is not None:
            topic = item.destination.topic
            where = f" for topic {topic}, which takes {self.limit(topic)} bytes with key and headers"
        size = "" if size_bytes is None else f": at least {size_bytes} bytes, where {self.room(item)} fit"
        request = item.request
        return RequestError(
            ErrorCode.RESPONSE_TOO_LARGE,
            f"the response is too large{where}{size}; send fewer inputs or less metadata a request, "
            "or ask for encoding_format base64",
            request_id=request.id if request else None,
            metadata=request.metadata if request else None,
        )
