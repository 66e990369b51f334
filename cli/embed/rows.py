"""One row of the input: usable, or bad with a reason; and what makes a text and an id usable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

UNREADABLE: Final = "unreadable_row"
"""Code in the errors file of a row that was never sent."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row to embed."""

    number: int
    """1-based: the line for text and JSONL, the record after the header for CSV, the row for Parquet."""
    line: int | None
    """First physical line, where the format has lines."""
    id: str
    text: str
    metadata: Mapping[str, object]
    """Every other field, untouched."""
    size_bytes: int
    """What the row holds in memory, roughly."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that goes to the errors file."""

    number: int
    line: int | None
    reason: str
    id: str | None = None
    code: str = UNREADABLE


AnyRow: TypeAlias = Row | BadRow


class UnusableError(Exception):
    """A row cannot be embedded; the message is the reason. Never leaves the readers."""


def usable_text(value: object, field: str) -> str:
    """The value as a text.

    Raises:
        UnusableError: Not a string, or empty.
    """
    if not isinstance(value, str):
        raise UnusableError(f"field {field!r} is {_kind(value)}, not a string")
    if not value:
        raise UnusableError(f"field {field!r} is empty: a text needs at least one character")
    return value


def usable_id(value: object, field: str, *, required: bool, number: int) -> str:
    """The value as an id; one that is null or empty counts as missing, whose place the row's number takes.

    Raises:
        UnusableError: Neither a string nor an integer, or missing though asked for by name.
    """
    if value is None or value == "":
        if required:
            raise UnusableError(f"id field {field!r} is missing, null or empty")
        return str(number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnusableError(f"id field {field!r} is {_kind(value)}, not a string or an integer")
    return str(value)


def not_utf8(error: UnicodeDecodeError) -> str:
    """The reason of a row whose bytes are no UTF-8."""
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start} ({error.reason})"


def too_large(limit_bytes: int) -> str:
    """The reason of a row over the limit."""
    return f"larger than {limit_bytes} bytes: shorten the text or split the row"


def _kind(value: object) -> str:
    kinds = {bool: "a boolean", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
