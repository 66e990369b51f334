"""`kafka-embeddings dlq list` and `show`: what is on the dead-letter topic."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any

from schemas.dead_letters import WRITTEN

from .errors import NoSuchLetterError
from .letters import DeadLetter, read_letters
from .rendering import (
    SUMMARY_HEADINGS,
    as_json,
    bytes_as_json,
    console,
    place_of,
    printable,
    show_table,
    summary_row,
    when,
    write_json,
)

if TYPE_CHECKING:
    from schemas.headers import Header
    from schemas.topics import TopicNames
    from transport.cluster import Cluster

    from .filters import Filters


def list_as_json(cluster: Cluster, topics: TopicNames, filters: Filters, limit: int | None) -> None:
    """A line each, those of one partition in order; with a limit the first ones that come."""
    shown = 0
    with read_letters(cluster, topics) as reader:
        for message in reader:
            if limit is not None and shown >= limit:
                return
            letter = DeadLetter(message)
            if filters.match(letter):
                write_json(as_json(letter))
                shown += 1


def list_as_table(cluster: Cluster, topics: TopicNames, filters: Filters, limit: int) -> None:
    """The newest ones, oldest first, and how many there are of each code."""
    counts: Counter[tuple[str, str]] = Counter()
    newest: list[tuple[int, tuple[int, int], tuple[str, ...]]] = []
    with read_letters(cluster, topics) as reader:
        for message in reader:
            letter = DeadLetter(message)
            if not filters.match(letter):
                continue
            counts[letter.code, letter.origin.topic if letter.origin else "unknown"] += 1
            # Rows, not messages: payloads are not kept.
            row = (message.timestamp_ms, letter.place, summary_row(letter))
            (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, row)
    on, total = console(), counts.total()
    rows = [row for _, _, row in sorted(newest)]
    if rows:
        show_table(on, SUMMARY_HEADINGS, rows)
        on.print()
        show_table(
            on,
            ("dead letters", "code", "came from"),
            [(f"{count:,}", code, printable(topic.encode())) for (code, topic), count in counts.most_common()],
        )
        on.print()
    left = f", the newest {len(rows):,} shown: --limit shows more" if len(rows) < total else ""
    on.print(f"dead letters on {topics.dead_letters}: {total:,}{left}", markup=False)


def show(cluster: Cluster, topics: TopicNames, place: tuple[int, int], *, payload: bool, json_lines: bool) -> None:
    """One dead letter: why it is there, its headers, and on request its payload.

    Raises:
        NoSuchLetterError: There is none at this place.
    """
    letter = _letter_at(cluster, topics, place)
    message, origin = letter.message, letter.origin
    if json_lines:
        value = bytes_as_json("payload", message.value) if payload else {}
        write_json(as_json(letter) | {"headers": [_header(*header) for header in message.headers]} | value)
        return
    on = console()
    rows = [("place", place_of(place)), ("since", when(message.timestamp_ms)), ("code", letter.code)]
    if origin is not None:
        rows += [
            ("why", printable(origin.message.encode())),
            ("came from", f"{printable(origin.topic.encode())} {origin.place}, {when(origin.timestamp_ms)}"),
            ("attempt", str(origin.attempt)),
            ("given up by", printable(origin.worker.encode())),
        ]
        rows += [("left out", origin.left_out)] if origin.left_out else []
    rows += [
        ("key", printable(message.key)),
        ("id", printable(None if letter.request_id is None else letter.request_id.encode())),
        ("payload", "(null)" if message.value is None else f"{len(message.value):,} bytes"),
    ]
    rows += [(f"header {printable(name.encode())}", printable(value)) for name, value in _original(message.headers)]
    show_table(on, ("", ""), rows)
    if payload:
        on.print()
        on.print(printable(message.value), markup=False, soft_wrap=True)


def _letter_at(cluster: Cluster, topics: TopicNames, place: tuple[int, int]) -> DeadLetter:
    partition, offset = place
    with read_letters(cluster, topics, partitions=[partition], starts={partition: offset}) as reader:
        found = next((message for message in reader), None)
    if found is None or found.offset != offset:
        raise NoSuchLetterError(
            f"no dead letter at {place_of(place)} on {topics.dead_letters}: it was purged, its time was over, or "
            "there never was one; see `dlq list`"
        )
    return DeadLetter(found)


def _original(headers: tuple[Header, ...]) -> list[Header]:
    return [(name, value) for name, value in headers if name not in WRITTEN]


def _header(name: str, value: bytes | None) -> dict[str, Any]:
    return {"name": name, **bytes_as_json("value", value)}
