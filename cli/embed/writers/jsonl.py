"""JSONL, one row a line; vectors go to JSON as numpy arrays, never as Python lists."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, BinaryIO, Final

import orjson

from ..durability import sync
from .writer import EMBEDDING, ID, RowRefusedError, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..isolation import Embedded

_BUFFER_BYTES: Final = 1024 * 1024
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class JsonlWriter:
    """Appends to a file.

    Args:
        path: Created where it is missing.
        keep_bytes: What an earlier run made durable; everything after it is cut off.
    """

    checkpoint_every_seconds = 2.0

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self._stream: BinaryIO = path.open("ab", buffering=_BUFFER_BYTES)
        self._stream.truncate(keep_bytes)
        self._bytes = keep_bytes

    @property
    def is_full(self) -> bool:
        return False

    def write(self, embedded: Embedded) -> None:
        line = json_line(embedded)
        self._stream.write(line)
        self._bytes += len(line)

    def checkpoint(self) -> int:
        sync(self._stream)
        return self._bytes

    def finish(self) -> Iterator[None]:
        return iter(())

    def clean_up(self) -> None:
        return None

    def close(self) -> None:
        with suppress(OSError):  # what was not durable by the last checkpoint counts as not written
            self._stream.close()


class StandardOutputWriter:
    """Writes to standard output, which cannot be taken back or resumed."""

    checkpoint_every_seconds = 1.0

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @property
    def is_full(self) -> bool:
        return False

    def write(self, embedded: Embedded) -> None:
        self._stream.write(json_line(embedded))

    def checkpoint(self) -> int:
        self._stream.flush()
        return 0

    def finish(self) -> Iterator[None]:
        return iter(())

    def clean_up(self) -> None:
        return None

    def close(self) -> None:
        with suppress(OSError):  # a reader that went away was reported by the checkpoint
            self._stream.close()


def json_line(embedded: Embedded) -> bytes:
    """`{id, embedding, …metadata}` and a newline.

    Raises:
        RowRefusedError: JSON cannot say what the metadata holds.
    """
    try:
        fields: dict[str, object] = {ID: embedded.row.id, EMBEDDING: embedded.vector}
        fields |= json_metadata(embedded.row.metadata)
        return orjson.dumps(fields, default=_as_json, option=_OPTIONS)
    except (orjson.JSONEncodeError, UnicodeDecodeError) as error:
        raise RowRefusedError(f"the metadata cannot be written as JSON: {error}") from error


def json_metadata(metadata: Mapping[str, object]) -> dict[str, object]:
    """The metadata under the names it has in the output.

    Raises:
        RowRefusedError: A renamed field meets one that has the new name already.
    """
    renamed = {output_name(name): value for name, value in metadata.items()}
    if len(renamed) != len(metadata):
        raise RowRefusedError(
            "the row has a field 'embedding' or 'id' and one named as that is renamed in the output, "
            "'input_embedding' or 'input_id': rename one"
        )
    return renamed


def _as_json(value: object) -> object:
    """What Parquet knows and JSON does not: bytes as base64, decimals as text, durations as seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"a {type(value).__name__} has no place in JSON")


def standard_output() -> BinaryIO:
    """Standard output as bytes, with a buffer of its own."""
    return os.fdopen(os.dup(1), "wb", buffering=_BUFFER_BYTES)
