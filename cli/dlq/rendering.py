"""How dead letters are shown: a table for a person, a line of JSON each for a program.

What callers sent is never written to a terminal as it is: control characters could move its cursor or worse.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .letters import DeadLetter

_KEY_CHARACTERS: Final = 40
_WIDE: Final = 10_000
"""Columns where nobody looks: lines are not wrapped, so that they can be searched."""


def console() -> Console:
    """Standard output; no line is wrapped or cut where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def show_table(on: Console, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows below headings, in columns."""
    table = Table(
        *headings, box=None, show_header=any(headings), pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"
    )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    with on.capture() as drawn:
        on.print(table)
    for line in drawn.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def printable(raw: bytes | None) -> str:
    """Bytes as text that harms no terminal; what is no UTF-8 and no letter is written as an escape."""
    if raw is None:
        return "(null)"
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in raw.decode("utf-8", "backslashreplace")
    )


def in_one_line(raw: bytes | None) -> str:
    """The beginning of it, for a table."""
    text = printable(raw).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _KEY_CHARACTERS else text[: _KEY_CHARACTERS - 1] + "…"


def when(epoch_ms: int) -> str:
    """A time in UTC."""
    if epoch_ms < 0:
        return "unknown"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def place_of(place: tuple[int, int]) -> str:
    """As `show` and `replay` take it."""
    return f"{place[0]}:{place[1]}"


def summary_row(letter: DeadLetter) -> tuple[str, ...]:
    """A dead letter's line in the table of `list`."""
    origin, message = letter.origin, letter.message
    came_from = f"{origin.topic} {origin.place}" if origin else "unknown"
    attempt = str(origin.attempt) if origin else ""
    return (
        place_of(letter.place),
        when(message.timestamp_ms),
        letter.code,
        attempt,
        printable(came_from.encode()),
        in_one_line(message.key),
    )


SUMMARY_HEADINGS: Final = ("place", "since", "code", "attempt", "came from", "key")


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter without payload and original headers, for a program."""
    origin, message = letter.origin, letter.message
    fields: dict[str, Any] = {
        "place": place_of(letter.place),
        "timestamp_ms": message.timestamp_ms,
        "code": letter.code,
        **bytes_as_json("key", message.key),
        "id": letter.request_id,
        "payload_bytes": None if message.value is None else len(message.value),
    }
    if origin is not None:
        fields |= {
            "message": origin.message,
            "attempt": origin.attempt,
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "origin_timestamp_ms": origin.timestamp_ms,
            "worker": origin.worker,
            "left_out": origin.left_out,
        }
    return fields


def bytes_as_json(name: str, raw: bytes | None) -> dict[str, str | None]:
    """One field: text where the bytes are UTF-8, else base64 under a name that says so."""
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}


def write_json(fields: dict[str, Any]) -> None:
    """One line on standard output, in ASCII."""
    sys.stdout.write(json.dumps(fields) + "\n")
