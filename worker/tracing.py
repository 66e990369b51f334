"""A span for each request, from reading it to the broker's acknowledgement, where the environment asks for spans.

It hangs below the span that the message's `traceparent` names, and its own is what the response carries.
Source: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transport.tracing import SpanKind, TraceHeaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.topics import TopicNames
    from transport.tracing import Span, Tracing

    from .request import RequestInFlight


class RequestSpans:
    """The spans of the requests under way. Called by one thread for each request at a time.

    Args:
        tracing: Makes them.
        topics: Names of our topics and groups.
    """

    def __init__(self, tracing: Tracing, topics: TopicNames) -> None:
        self._tracing = tracing
        self._topics = topics
        self._spans: dict[RequestInFlight, Span] = {}

    def started(self, items: Sequence[RequestInFlight]) -> None:
        """Requests were read: from here on their `traceparent` is that of our span."""
        for item in items:
            parent = TraceHeaders(item.headers.traceparent, item.headers.tracestate)
            name = f"process {item.message.topic}"
            span = self._tracing.start(name, SpanKind.CONSUMER, parent, self._attributes(item))
            own = span.headers
            item.headers = replace(item.headers, traceparent=own.traceparent, tracestate=own.tracestate)
            if span.is_recording:
                self._spans[item] = span

    def ended(self, item: RequestInFlight, acknowledged: bool) -> None:
        """A request is over."""
        span = self._spans.pop(item, None)
        if span is None:
            return
        if not acknowledged:
            span.end("discarded")
            return
        inputs = len(item.request.inputs) if item.request else 0
        known = {"kafka_embeddings.inputs": inputs, "kafka_embeddings.tokens": item.prompt_tokens}
        span.end(None if item.error is None else item.error.code.value, known)

    def _attributes(self, item: RequestInFlight) -> dict[str, Any]:
        message, correlation_id = item.message, item.headers.correlation_id
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic,
            "messaging.destination.partition.id": str(message.partition),
            "messaging.consumer.group.name": self._topics.group(item.lane),
            "messaging.kafka.offset": message.offset,
            "messaging.kafka.message.key": None if message.key is None else message.key.decode("utf-8", "replace"),
            "messaging.kafka.message.tombstone": True if item.is_tombstone else None,
            "messaging.message.id": item.request.id if item.request else None,
            "messaging.message.body.size": len(message.value or b""),
            "messaging.message.conversation_id": None if correlation_id is None else correlation_id.hex(),
        }
