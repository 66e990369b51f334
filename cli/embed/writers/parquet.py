"""Parquet: durable part files while the run goes on, joined into one file at its end."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..durability import commit, sync, sync_folder
from ..errors import OutputError, ResumeError
from ..options import beside
from ..readers.parquet import BatchRow
from .writer import EMBEDDING, ID, RowRefusedError, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..isolation import Embedded
    from ..readers.reader import Reader

_PART_ROWS: Final = 16_384
_PART_BYTES: Final = 64 * 1024 * 1024
_GROUP_ROWS: Final = 65_536
_GROUP_BYTES: Final = 64 * 1024 * 1024
METADATA: Final = "metadata"
"""The one metadata column of an input whose rows differ: a JSON object as a string."""


class ParquetWriter:
    """`id` string, `embedding` fixed-size list of float32, and the metadata's columns.

    Args:
        path: The output; there only once it is complete.
        reader: Knows the metadata's types from its first row on.
        keep_parts: Parts an earlier run made durable; later ones are removed.
        dimensions: Length of the vectors where known; an output without rows takes its type from it.
    """

    checkpoint_every_seconds = 30.0

    def __init__(self, path: Path, reader: Reader, keep_parts: int, dimensions: int | None) -> None:
        self._path = path
        self._reader = reader
        self._parts = keep_parts
        self._dim = dimensions
        self._folder = beside(path, ".parts")
        self._rows: list[Embedded] = []
        self._json: list[str] = []
        self._bytes = 0
        self._rows_differ = reader.metadata_fields() is None
        self._check_names([ID, EMBEDDING, *(field.name for field in self._metadata_fields())])
        self._folder.mkdir(exist_ok=True)
        self._drop_parts_after(keep_parts)

    @property
    def is_full(self) -> bool:
        return len(self._rows) >= _PART_ROWS or self._bytes >= _PART_BYTES

    def write(self, embedded: Embedded) -> None:
        if self._rows_differ:
            self._json.append(_json_text(embedded))
        self._rows.append(embedded)
        self._bytes += embedded.row.size_bytes + embedded.vector.nbytes

    def checkpoint(self) -> int:
        if self._rows:
            table = self._table(self._rows)
            part = self._part(self._parts + 1)
            unfinished = beside(part, ".tmp")
            with unfinished.open("wb") as stream:
                pq.write_table(table, stream, compression="zstd", use_dictionary=False)
                sync(stream)
            commit(unfinished, part)
            self._parts += 1
            self._rows, self._json, self._bytes = [], [], 0
        return self._parts

    def finish(self) -> Iterator[None]:
        unfinished = beside(self._path, ".tmp")
        with unfinished.open("wb") as stream:
            tables = self._joined()
            first = next(tables)
            with pq.ParquetWriter(stream, first.schema, compression="zstd", use_dictionary=False) as writer:
                for table in itertools.chain([first], tables):
                    writer.write_table(table)
                    yield
            sync(stream)
        commit(unfinished, self._path)

    def clean_up(self) -> None:
        shutil.rmtree(self._folder)
        sync_folder(self._path.parent)

    def close(self) -> None:
        return None

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _drop_parts_after(self, keep_parts: int) -> None:
        kept = {self._part(number) for number in range(1, keep_parts + 1)}
        present = set(self._folder.iterdir())
        if missing := sorted(kept - present):
            raise ResumeError(f"{missing[0]} is missing: --force starts over")
        for surplus in present - kept:
            surplus.unlink()

    def _joined(self) -> Iterator[pa.Table]:
        """The parts as tables of a row group each; one without rows where there is no part."""
        gathered: list[pa.Table] = []
        rows = size_bytes = 0
        for number in range(1, self._parts + 1):
            table = pq.ParquetFile(self._part(number)).read()
            if gathered and (rows + table.num_rows > _GROUP_ROWS or size_bytes + table.nbytes > _GROUP_BYTES):
                yield pa.concat_tables(gathered)
                gathered, rows, size_bytes = [], 0, 0
            gathered.append(table)
            rows += table.num_rows
            size_bytes += table.nbytes
        yield pa.concat_tables(gathered) if gathered else self._table([])

    def _table(self, rows: Sequence[Embedded]) -> pa.Table:
        columns: list[pa.Array[Any] | pa.ChunkedArray[Any]] = [pa.array([item.row.id for item in rows], pa.string())]
        columns.append(self._embeddings(rows))
        fields = [pa.field(ID, pa.string()), pa.field(EMBEDDING, columns[1].type)]
        metadata = self._metadata_fields()
        fields += metadata
        if self._rows_differ:
            columns.append(pa.array(self._json if rows else [], pa.string()))
        else:
            columns += _metadata_columns(rows, self._reader.metadata_fields() or [])
        self._check_names([field.name for field in fields])
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def _metadata_fields(self) -> list[pa.Field[Any]]:
        """The metadata's fields as they are in the output."""
        fields = self._reader.metadata_fields()
        if fields is None:
            return [pa.field(METADATA, pa.string())]
        return [field.with_name(output_name(field.name)) for field in fields]

    def _check_names(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names):
            raise OutputError(
                f"{self._path}: an input column would be renamed to one that is there already "
                f"({', '.join(names)}): rename one in the input"
            )

    def _embeddings(self, rows: Sequence[Embedded]) -> pa.Array[Any]:
        if not rows:
            return pa.array([], pa.list_(pa.float32(), self._dim or -1))
        vectors = np.stack([item.vector for item in rows])
        return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _json_text(embedded: Embedded) -> str:
    try:
        return orjson.dumps(dict(embedded.row.metadata)).decode("utf-8")
    except orjson.JSONEncodeError as error:
        raise RowRefusedError(f"the metadata cannot be written as JSON: {error}") from error


def _metadata_columns(
    rows: Sequence[Embedded], fields: Sequence[pa.Field[Any]]
) -> list[pa.Array[Any] | pa.ChunkedArray[Any]]:
    if not rows:
        return [pa.array([], field.type) for field in fields]
    if not isinstance(rows[0].row.metadata, BatchRow):
        return [pa.array([item.row.metadata[field.name] for item in rows], field.type) for field in fields]
    taken = []
    for _, neighbours in itertools.groupby(rows, key=lambda item: id(_place(item).batch)):
        places = [_place(item) for item in neighbours]
        taken.append(places[0].batch.take(pa.array([place.index for place in places])))
    return list(pa.Table.from_batches(taken).columns)


def _place(embedded: Embedded) -> BatchRow:
    metadata = embedded.row.metadata
    assert isinstance(metadata, BatchRow)
    return metadata
