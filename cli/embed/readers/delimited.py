"""CSV with a header: RFC 4180 quoting, newlines inside quoted fields, every value a string."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..options import DEFAULT_ID_FIELD
from ..rows import BadRow, Row, UnusableError, not_utf8, too_large, usable_id, usable_text
from .lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from ..rows import AnyRow
    from .lines import Line


class CsvReader:
    """The header names the columns; a record with another number of columns is a bad row.

    A quote that is never closed costs the record it stands in: reading goes on at the line after.
    """

    def __init__(self, path: Path, limit_bytes: int, field: str, id_field: str | None) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._field = field
        self._id_field = id_field
        self._header: list[str] = []

    def check(self) -> None:
        self._read_header(_Records(self._path, self._limit_bytes))

    def count(self) -> None:
        return None

    def rows(self, after: int) -> Iterator[AnyRow]:
        records = _Records(self._path, self._limit_bytes)
        self._read_header(records)
        for number, record in enumerate(records, start=1):
            if number > after:
                yield self._row(number, record)

    def metadata_fields(self) -> list[pa.Field[Any]]:
        import pyarrow as pa

        own = {self._field, self._id_field or DEFAULT_ID_FIELD}
        return [pa.field(name, pa.string()) for name in self._header if name not in own]

    def _read_header(self, records: _Records) -> None:
        record = next(records, None)
        if record is None:
            return
        try:
            self._header = _fields(record)
        except UnusableError as error:
            raise InputError(f"{self._path}: the header cannot be read: {error}") from None
        names = ", ".join(self._header)
        if len(set(self._header)) != len(self._header):
            raise InputError(f"{self._path}: two columns have one name ({names}): rename one")
        for option, name in (("--field", self._field), ("--id-field", self._id_field)):
            if name is not None and name not in self._header:
                raise InputError(f"{self._path} has no column {name!r}, only {names}: {option} names one")

    def _row(self, number: int, record: _Record) -> AnyRow:
        row_id: str | None = None
        try:
            values = _fields(record)
            if len(values) != len(self._header):
                raise UnusableError(f"{len(values)} columns, the header has {len(self._header)}")
            fields: dict[str, object] = dict(zip(self._header, values, strict=True))
            id_field = self._id_field or DEFAULT_ID_FIELD
            row_id = usable_id(fields.get(id_field), id_field, required=self._id_field is not None, number=number)
            text = usable_text(fields.pop(self._field), self._field)
        except UnusableError as error:
            return BadRow(number, record.line, str(error), row_id)
        fields.pop(id_field, None)
        return Row(number, record.line, row_id, text, fields, sum(map(len, values)))


class _Record:
    """One record: its first line, and its fields or the reason it has none."""

    __slots__ = ("fields", "line", "reason")

    def __init__(self, line: int, fields: list[str], reason: str | None = None) -> None:
        self.line = line
        self.fields = fields
        self.reason = reason


def _fields(record: _Record) -> list[str]:
    """The fields of a record that has them, all UTF-8."""
    if record.reason is not None:
        raise UnusableError(record.reason)
    for value in record.fields:
        if not value.isascii():
            try:
                value.encode("utf-8", "surrogateescape").decode("utf-8")
            except UnicodeDecodeError as error:
                raise UnusableError(not_utf8(error)) from None
    return record.fields


class _RecordTooLargeError(Exception):
    pass


class _Records:
    """Records of the file; blank lines between them are none."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._lines = _LineFeed(path, limit_bytes)
        self._limit_bytes = limit_bytes
        # The module's own limit is process-wide and 128 KiB; the line feed bounds a record instead.
        csv.field_size_limit(max(csv.field_size_limit(), limit_bytes + 1))
        self._parser = csv.reader(self._lines, strict=True)

    def __iter__(self) -> Iterator[_Record]:
        return self

    def __next__(self) -> _Record:
        while True:
            self._lines.begin_record()
            try:
                fields = next(self._parser)
            except _RecordTooLargeError:
                self._lines.skip_record()
                return _Record(self._lines.first_line, [], too_large(self._limit_bytes))
            except csv.Error as error:
                return self._broken(error)
            if fields:
                return _Record(self._lines.first_line, fields)

    def _broken(self, error: csv.Error) -> _Record:
        first_line = self._lines.first_line
        if not self._lines.ended:
            return _Record(first_line, [], f"not valid CSV: {error}")
        self._lines.reread_after_first()
        return _Record(first_line, [], "a quote is opened and never closed")


class _LineFeed:
    """Feeds the parser physical lines and keeps those of the record being read, so that it can go back."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._source = read_lines(path, limit_bytes)
        self._limit_bytes = limit_bytes
        self._again: deque[Line] = deque()
        self._record: list[Line] = []
        self._record_bytes = 0
        self.ended = False

    @property
    def first_line(self) -> int:
        return self._record[0].number

    def begin_record(self) -> None:
        self._record = []
        self._record_bytes = 0
        self.ended = False

    def reread_after_first(self) -> None:
        """Give the record's lines once more, its first one excepted."""
        self._again.extendleft(reversed(self._record[1:]))

    def skip_record(self) -> None:
        """Pass over the rest of a record whose quoted field goes on past the limit."""
        odd = sum(line.quotes or line.content.count(b'"') for line in self._record) % 2
        while odd and (line := self._next_line()) is not None:
            odd = (odd + (line.quotes or line.content.count(b'"'))) % 2

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._next_line()
        if line is None:
            self.ended = True
            raise StopIteration
        self._record.append(line)
        self._record_bytes += len(line.content)
        if line.over_limit or self._record_bytes > self._limit_bytes:
            raise _RecordTooLargeError
        return line.content.decode("utf-8", "surrogateescape")

    def _next_line(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._source, None)
