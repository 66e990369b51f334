"""The response of a request that was computed: its bytes, and the headers of whatever answers a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from schemas import headers as names
from schemas.codec import encode_flat, encode_response
from schemas.errors import ErrorCode, RequestError
from schemas.quantization import quantize

from .destinations import Profile
from .request import origin_of

if TYPE_CHECKING:
    from schemas.headers import Header

    from .encoder.interface import ModelCard
    from .request import RequestInFlight
    from .sizes import Sizes

log = structlog.get_logger("worker")


class Responses:
    """Writes them.

    Args:
        card: The model's: its revision is named in responses, its ranges decide their numbers.
        sizes: What fits where.
    """

    def __init__(self, card: ModelCard, sizes: Sizes) -> None:
        self._card = card
        self._sizes = sizes

    def encode(self, item: RequestInFlight) -> bytes | None:
        """The response; None when it turns out that there can be none, which is then the request's error."""
        request, destination = item.request, item.destination
        if request is None or destination is None:
            raise AssertionError("a request without error has a destination and was decoded")
        try:
            vectors = quantize(item.vectors, item.embedding_type, self._card.ranges)
            if destination.profile is Profile.FLAT:
                value = encode_flat(
                    request_id=request.id,
                    model=request.model,
                    vectors=vectors,
                    dim=item.dim,
                    encoding=request.encoding_format,
                    metadata=request.metadata,
                )
            else:
                value = encode_response(
                    request_id=request.id,
                    model=request.model,
                    vectors=vectors,
                    encoding=request.encoding_format,
                    prompt_tokens=item.prompt_tokens,
                    metadata=request.metadata,
                )
        except (ValueError, TypeError) as error:
            log.error("response cannot be encoded", **origin_of(item), error=type(error).__name__)
            message = "the response could not be encoded: our fault"
            item.fail(
                RequestError(ErrorCode.INTERNAL_ERROR, message, request_id=request.id, metadata=request.metadata)
            )
            return None
        if len(value) > self._sizes.room(item):
            item.fail(self._sizes.error(item, len(value)))
            return None
        return value

    def headers(self, item: RequestInFlight, status: str) -> list[Header]:
        """Of an answer: its status, the model's revision, where the request came from, and what is echoed."""
        message, given = item.message, item.headers
        headers: list[Header] = [
            (names.STATUS, status.encode()),
            (names.MODEL_REVISION, self._card.revision.encode()),
            (names.SOURCE_TOPIC, message.topic.encode()),
            (names.SOURCE_PARTITION, names.encode_number(message.partition)),
            (names.SOURCE_OFFSET, names.encode_number(message.offset)),
            (names.SOURCE_TIMESTAMP, names.encode_number(message.timestamp_ms)),
        ]
        if message.value is not None:
            headers.append((names.CONTENT_TYPE, names.CONTENT_TYPE_JSON))
        for name, value in (
            (names.CORRELATION_ID, given.correlation_id),
            (names.TRACEPARENT, given.traceparent),
            (names.TRACESTATE, given.tracestate),
        ):
            if value is not None:
                headers.append((name, value))
        return headers
