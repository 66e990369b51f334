"""The message a dead letter becomes: original bytes, key and headers, with origin and reason beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import headers as names

if TYPE_CHECKING:
    from schemas.errors import ErrorCode, RequestError, UnanswerableError
    from schemas.headers import Header
    from transport.messages import Message


def dead_letter_headers(
    message: Message, error: RequestError | UnanswerableError, worker_id: str, *, attempt: int, left_out: str = ""
) -> list[Header]:
    """The original headers, then ours, which say where the message came from and why it is here.

    Args:
        message: What is kept, as far as it fits.
        error: Why.
        worker_id: Who gave it up.
        attempt: How often it has failed, this time included; not read from the headers, which may be left out.
        left_out: What of the original did not fit; empty: nothing.
    """
    code: ErrorCode = error.code
    headers = [
        *message.headers,
        (names.DLQ_CODE, code.value.encode()),
        (names.DLQ_MESSAGE, error.message.encode("utf-8", "replace")),
        (names.DLQ_TOPIC, message.topic.encode()),
        (names.DLQ_PARTITION, names.encode_number(message.partition)),
        (names.DLQ_OFFSET, names.encode_number(message.offset)),
        (names.DLQ_TIMESTAMP, names.encode_number(message.timestamp_ms)),
        (names.DLQ_WORKER, worker_id.encode()),
        (names.DLQ_ATTEMPT, names.encode_number(attempt)),
    ]
    return [*headers, (names.DLQ_LEFT_OUT, left_out.encode())] if left_out else headers
