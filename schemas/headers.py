"""Header names and how the ones we read are parsed. Spring's request-reply names are ours.

Source: spring-kafka `KafkaHeaders` (kafka_correlationId, kafka_replyTopic, kafka_replyPartition); W3C Trace
Context for `traceparent` and `tracestate`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Header: TypeAlias = tuple[str, bytes | None]

# read from requests
CORRELATION_ID: Final = "kafka_correlationId"
REPLY_TOPIC: Final = "kafka_replyTopic"
REPLY_PARTITION: Final = "kafka_replyPartition"
DEADLINE: Final = "deadline"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
PART: Final = "part"
PARTS: Final = "parts"
FIRST_INDEX: Final = "first-index"
REPLAY_ATTEMPT: Final = "replay-attempt"
REPLAY_OF: Final = "replay-of"

# written on responses
STATUS: Final = "status"
STATUS_OK: Final = "ok"
CONTENT_TYPE: Final = "content-type"
CONTENT_TYPE_JSON: Final = b"application/json"
MODEL_REVISION: Final = "model-revision"
SOURCE_TOPIC: Final = "source-topic"
SOURCE_PARTITION: Final = "source-partition"
SOURCE_OFFSET: Final = "source-offset"
SOURCE_TIMESTAMP: Final = "source-timestamp"

# written on dead letters, beside the original headers
DLQ_CODE: Final = "dlq-code"
DLQ_MESSAGE: Final = "dlq-message"
DLQ_TOPIC: Final = "dlq-topic"
DLQ_PARTITION: Final = "dlq-partition"
DLQ_OFFSET: Final = "dlq-offset"
DLQ_TIMESTAMP: Final = "dlq-timestamp"
DLQ_WORKER: Final = "dlq-worker"
DLQ_ATTEMPT: Final = "dlq-attempt"
DLQ_LEFT_OUT: Final = "dlq-left-out"

_PARTITION: Final = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The headers of a request that the worker acts on; the last of a doubled header counts, as in Spring."""

    correlation_id: bytes | None = None
    reply_topic: str | None = None
    reply_partition: int | None = None
    deadline_ms: int | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    failed_attempts: int = 0
    """How often the message has become a dead letter before; more than 0 only where it was replayed."""
    malformed: tuple[str, ...] = ()
    """Names of headers that were there and could not be read; a malformed deadline is no deadline."""

    @property
    def malformed_destination(self) -> str | None:
        """The reply header that cannot be honoured, when there is one."""
        if not self.malformed:
            return None
        return next((name for name in self.malformed if name in (REPLY_TOPIC, REPLY_PARTITION)), None)


_NO_HEADERS: Final = RequestHeaders()


def parse_request_headers(headers: Iterable[Header]) -> RequestHeaders:
    """Read what concerns us; never raises, whatever the bytes."""
    found = dict(headers)
    if not found:
        return _NO_HEADERS
    malformed: list[str] = []

    reply_topic: str | None = None
    if (raw := found.get(REPLY_TOPIC)) is not None:
        try:
            reply_topic = raw.decode("utf-8")
        except UnicodeDecodeError:
            malformed.append(REPLY_TOPIC)

    reply_partition: int | None = None
    if (raw := found.get(REPLY_PARTITION)) is not None:
        if len(raw) == _PARTITION.size and (number := _PARTITION.unpack(raw)[0]) >= 0:
            reply_partition = number
        else:
            malformed.append(REPLY_PARTITION)

    deadline_ms: int | None = None
    if (raw := found.get(DEADLINE)) is not None:
        deadline_ms = decode_number(raw)
        if deadline_ms is None:
            malformed.append(DEADLINE)

    failed_attempts = 0
    if (raw := found.get(REPLAY_ATTEMPT)) is not None:
        if (attempts := decode_number(raw)) is not None:
            failed_attempts = attempts
        else:
            malformed.append(REPLAY_ATTEMPT)

    return RequestHeaders(
        correlation_id=found.get(CORRELATION_ID),
        reply_topic=reply_topic,
        reply_partition=reply_partition,
        deadline_ms=deadline_ms,
        traceparent=found.get(TRACEPARENT),
        tracestate=found.get(TRACESTATE),
        failed_attempts=failed_attempts,
        malformed=tuple(malformed),
    )


def encode_partition(partition: int) -> bytes:
    """A partition as `kafka_replyPartition` carries it: 4 bytes, big-endian."""
    return _PARTITION.pack(partition)


def encode_number(number: int) -> bytes:
    """A number as every other header carries it: ASCII decimal."""
    return str(number).encode("ascii")


def decode_number(raw: bytes | None) -> int | None:
    """A number from such a header; None where it is none, or one of more than 18 digits."""
    return int(raw) if raw is not None and raw.isdigit() and len(raw) <= 18 else None
