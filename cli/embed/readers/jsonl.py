"""JSON lines: one object a line; blank lines are no rows, but are counted as lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ..options import DEFAULT_ID_FIELD
from ..rows import BadRow, Row, UnusableError, not_utf8, too_large, usable_id, usable_text
from .lines import count_lines, read_lines, without_ending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..rows import AnyRow


@dataclass(frozen=True, slots=True)
class JsonlReader:
    """Fields may differ from row to row; the row's number is its line."""

    path: Path
    limit_bytes: int
    field: str
    id_field: str | None

    def check(self) -> None:
        return None

    def count(self) -> int:
        return count_lines(self.path)

    def rows(self, after: int) -> Iterator[AnyRow]:
        for line in read_lines(self.path, self.limit_bytes):
            if line.number <= after:
                continue
            if line.over_limit:
                yield BadRow(line.number, line.number, too_large(self.limit_bytes))
            elif content := without_ending(line.content).strip(b" \t\r"):
                yield self._row(line.number, content)

    def metadata_fields(self) -> None:
        return None

    def _row(self, number: int, content: bytes) -> AnyRow:
        row_id: str | None = None
        id_field = self.id_field or DEFAULT_ID_FIELD
        try:
            fields = _object(content)
            row_id = usable_id(fields.get(id_field), id_field, required=self.id_field is not None, number=number)
            if self.field not in fields:
                raise UnusableError(f"field {self.field!r} is missing: --field names another one")
            text = usable_text(fields.pop(self.field), self.field)
        except UnusableError as error:
            return BadRow(number, number, str(error), row_id)
        fields.pop(id_field, None)
        return Row(number, number, row_id, text, fields, len(content))


def _object(content: bytes) -> dict[str, object]:
    try:
        fields = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnusableError(_explain(content, error)) from None
    if not isinstance(fields, dict):
        raise UnusableError("the line is JSON, but not an object")
    return fields


def _explain(content: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return not_utf8(undecodable)
    if "surrogate" in str(error):
        return f"a string holds a lone surrogate, which no UTF-8 text can ({error})"
    return f"not valid JSON: {error}"
