"""Rows to requests: neighbours that are short enough share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .rows import AnyRow

GROUP_ROWS: Final = 32
GROUP_CHARACTERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive rows of the input, bad ones included so that order can be kept."""

    items: tuple[AnyRow, ...]

    @property
    def rows(self) -> list[Row]:
        """The rows to send."""
        return [item for item in self.items if isinstance(item, Row)]

    @property
    def size_bytes(self) -> int:
        return sum(row.size_bytes for row in self.rows)


def group_rows(
    items: Iterable[AnyRow], max_rows: int = GROUP_ROWS, max_characters: int = GROUP_CHARACTERS
) -> Iterator[Group]:
    """Cut the rows into groups, in order.

    Args:
        items: Rows and bad rows.
        max_rows: Items of one group, at most.
        max_characters: Characters of one group's texts together; a longer text is a group of its own.
    """
    gathered: list[AnyRow] = []
    characters = 0
    for item in items:
        added = len(item.text) if isinstance(item, Row) else 0
        if gathered and (len(gathered) == max_rows or characters + added > max_characters):
            yield Group(tuple(gathered))
            gathered, characters = [], 0
        gathered.append(item)
        characters += added
    if gathered:
        yield Group(tuple(gathered))
