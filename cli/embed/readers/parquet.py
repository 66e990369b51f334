"""Parquet, by record batches; the metadata stays in Arrow until somebody asks for a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError
from ..options import DEFAULT_ID_FIELD
from ..rows import BadRow, Row, UnusableError, not_utf8, too_large, usable_id, usable_text
from .lines import open_input

if TYPE_CHECKING:
    from pathlib import Path

    from ..rows import AnyRow

_BATCH_BYTES: Final = 16 * 1024 * 1024
_BATCH_ROWS: Final = 4096


class BatchRow(Mapping[str, object]):
    """The metadata of one row: a place in a record batch."""

    __slots__ = ("batch", "index")

    def __init__(self, batch: pa.RecordBatch, index: int) -> None:
        self.batch = batch
        self.index = index

    def __getitem__(self, name: str) -> object:
        column = self.batch.schema.get_field_index(name)
        if column < 0:
            raise KeyError(name)
        return self.batch.column(column)[self.index].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.schema.names)

    def __len__(self) -> int:
        return len(self.batch.schema.names)


class ParquetReader:
    """Every column but text and id is metadata, with the type it has."""

    def __init__(self, path: Path, limit_bytes: int, field: str, id_field: str | None) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._field = field
        self._id_field = id_field
        self._schema: pa.Schema | None = None

    def check(self) -> None:
        with open_input(self._path) as stream:
            self._check_schema(self._open(stream).schema_arrow)

    def count(self) -> int:
        with open_input(self._path) as stream:
            return int(self._open(stream).metadata.num_rows)

    def rows(self, after: int) -> Iterator[AnyRow]:
        with open_input(self._path) as stream:
            file = self._open(stream)
            self._check_schema(file.schema_arrow)
            done = 0
            for group in range(file.num_row_groups):
                group_rows = file.metadata.row_group(group).num_rows
                if done + group_rows > after:
                    yield from self._group_rows(file, group, done, after)
                done += group_rows

    def metadata_fields(self) -> list[pa.Field[Any]]:
        if self._schema is None:
            return []
        own = {self._field, self._id_field or DEFAULT_ID_FIELD}
        return [self._schema.field(name).remove_metadata() for name in self._schema.names if name not in own]

    def _open(self, stream: object) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(stream, pre_buffer=False)  # type: ignore[arg-type]
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path} is not a Parquet file: {_first_line(error)}") from error

    def _check_schema(self, schema: pa.Schema) -> None:
        names = ", ".join(schema.names)
        if len(set(schema.names)) != len(schema.names):
            raise InputError(f"{self._path}: two columns have one name ({names}): rename one")
        for option, name in (("--field", self._field), ("--id-field", self._id_field)):
            if name is not None and name not in schema.names:
                raise InputError(f"{self._path} has no column {name!r}, only {names}: {option} names one")
        if not _holds_text(schema.field(self._field).type):
            kind = schema.field(self._field).type
            raise InputError(f"{self._path}: column {self._field!r} is {kind}, not text: --field names another")
        id_field = self._id_field or DEFAULT_ID_FIELD
        if id_field in schema.names and not _holds_ids(schema.field(id_field).type):
            kind = schema.field(id_field).type
            raise InputError(
                f"{self._path}: column {id_field!r} is {kind}, neither text nor integers: --id-field names another"
            )
        self._schema = schema

    def _group_rows(self, file: pq.ParquetFile, group: int, done: int, after: int) -> Iterator[AnyRow]:
        metadata = file.metadata.row_group(group)
        row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
        batch_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))
        try:
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group]):
                yield from self._batch_rows(batch, done, after)
                done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"cannot read {self._path} past row {done}: {_first_line(error)}") from error

    def _batch_rows(self, batch: pa.RecordBatch, done: int, after: int) -> Iterator[AnyRow]:
        id_field = self._id_field or DEFAULT_ID_FIELD
        texts = batch.column(self._field)
        ids = batch.column(id_field) if id_field in batch.schema.names else None
        rest = batch.select([name for name in batch.schema.names if name not in (self._field, id_field)])
        row_bytes = rest.nbytes // max(1, batch.num_rows)
        for index in range(max(0, after - done), batch.num_rows):
            number = done + index + 1
            row_id: str | None = None
            try:
                row_id = usable_id(
                    _value(ids, index) if ids is not None else None,
                    id_field,
                    required=self._id_field is not None,
                    number=number,
                )
                text = usable_text(_value(texts, index), self._field)
                text_bytes = len(text) if text.isascii() else len(text.encode("utf-8"))
                if text_bytes > self._limit_bytes:
                    raise UnusableError(too_large(self._limit_bytes))
            except UnusableError as error:
                yield BadRow(number, None, str(error), row_id)
                continue
            yield Row(number, None, row_id, text, BatchRow(rest, index), text_bytes + row_bytes)


def _value(column: pa.Array[Any], index: int) -> object:
    try:
        return column[index].as_py()
    except UnicodeDecodeError as error:
        raise UnusableError(not_utf8(error)) from None


def _holds_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _holds_ids(kind: pa.DataType) -> bool:
    return _holds_text(kind) or pa.types.is_integer(kind)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
