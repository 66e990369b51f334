"""A message as every stage sees it, free of confluent_kafka's types."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import confluent_kafka

    from schemas.headers import Header


# The client's C code does not report a header name that is not UTF-8: a call from C notices and raises SystemError,
# the interpreter's own specialised call does not, and the process crashes over the broken list.
_headers_of: Final = methodcaller("headers")


class Message(NamedTuple):
    """One message read from a topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    """None: a tombstone."""
    headers: tuple[Header, ...]


class Outgoing(NamedTuple):
    """One message to publish."""

    topic: str
    partition: int | None
    """None: the partitioner decides."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


def from_confluent(message: confluent_kafka.Message) -> Message:
    """Copy what we use of a librdkafka message.

    Where one header's name is not UTF-8 the message counts as without headers: the client gives none of them.
    """
    try:
        headers = tuple(_headers_of(message) or ())
    except (UnicodeDecodeError, SystemError):
        headers = ()
    return Message(
        message.topic() or "",
        _number(message.partition()),
        _number(message.offset()),
        message.timestamp()[1],
        _bytes(message.key()),
        _bytes(message.value()),
        tuple((str(name), _bytes(value)) for name, value in headers),
    )


def _number(number: int | None) -> int:
    return -1 if number is None else number


def _bytes(content: bytes | str | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
