"""What the headers of a dead letter say, and which ones its replay has. Of a doubled header the last one counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import headers as names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .headers import Header

_SPRINGS: Final = "kafka_"
WRITTEN: Final = frozenset(
    {
        names.DLQ_CODE,
        names.DLQ_MESSAGE,
        names.DLQ_TOPIC,
        names.DLQ_PARTITION,
        names.DLQ_OFFSET,
        names.DLQ_TIMESTAMP,
        names.DLQ_WORKER,
        names.DLQ_ATTEMPT,
        names.DLQ_LEFT_OUT,
    }
)
"""What a worker writes beside the original headers."""
_NOT_REPLAYED: Final = WRITTEN | {names.DEADLINE, names.REPLAY_ATTEMPT, names.REPLAY_OF}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a dead letter came from, and why it is where it is."""

    code: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """-1: it had none."""
    worker: str
    attempt: int
    """How often it has failed, this time included."""
    left_out: str
    """What did not fit and is missing; empty: nothing."""

    @property
    def place(self) -> str:
        """Partition and offset, as `replay-of` has them."""
        return f"{self.partition}:{self.offset}"


def read_origin(headers: Iterable[Header]) -> Origin | None:
    """What the headers of a dead letter say; None where they are not those of one."""
    found = dict(headers)
    partition, offset = (names.decode_number(found.get(name)) for name in (names.DLQ_PARTITION, names.DLQ_OFFSET))
    topic = _text(found.get(names.DLQ_TOPIC))
    if partition is None or offset is None or not topic:
        return None
    timestamp_ms = names.decode_number(found.get(names.DLQ_TIMESTAMP))
    return Origin(
        code=_text(found.get(names.DLQ_CODE)),
        message=_text(found.get(names.DLQ_MESSAGE)),
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp_ms=-1 if timestamp_ms is None else timestamp_ms,
        worker=_text(found.get(names.DLQ_WORKER)),
        # Workers of 0.1.0 did not count.
        attempt=names.decode_number(found.get(names.DLQ_ATTEMPT)) or 1,
        left_out=_text(found.get(names.DLQ_LEFT_OUT)),
    )


def replay_headers(headers: Iterable[Header], origin: Origin) -> list[Header]:
    """Headers of a dead letter's replay: the original ones, but nobody waits for it any more, and it is counted."""
    kept = [(name, value) for name, value in headers if name not in _NOT_REPLAYED and not name.startswith(_SPRINGS)]
    return [
        *kept,
        (names.REPLAY_ATTEMPT, names.encode_number(origin.attempt)),
        (names.REPLAY_OF, origin.place.encode()),
    ]


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
