"""Text lines: one text a line, the line number is the id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rows import BadRow, Row, not_utf8, too_large
from .lines import count_lines, read_lines, without_ending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from ..rows import AnyRow


@dataclass(frozen=True, slots=True)
class TextReader:
    """Every line is a row; an empty line is a bad one."""

    path: Path
    limit_bytes: int

    def check(self) -> None:
        return None

    def count(self) -> int:
        return count_lines(self.path)

    def rows(self, after: int) -> Iterator[AnyRow]:
        for line in read_lines(self.path, self.limit_bytes):
            number = line.number
            if number <= after:
                continue
            if line.over_limit:
                yield BadRow(number, number, too_large(self.limit_bytes))
                continue
            content = without_ending(line.content)
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError as error:
                yield BadRow(number, number, not_utf8(error))
                continue
            if text:
                yield Row(number, number, str(number), text, {}, len(content))
            else:
                yield BadRow(number, number, "the line is empty: a text needs at least one character")

    def metadata_fields(self) -> list[pa.Field[Any]]:
        return []
