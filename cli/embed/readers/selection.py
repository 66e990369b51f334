"""Which reader reads an input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..arrow import require_pyarrow
from ..errors import InputError
from ..formats import STANDARD, InputFormat, input_format
from ..options import is_regular
from .delimited import CsvReader
from .jsonl import JsonlReader
from .text import TextReader

if TYPE_CHECKING:
    from pathlib import Path

    from ..options import EmbedOptions
    from .reader import Reader


def open_reader(options: EmbedOptions) -> Reader:
    """The reader of the input, which was looked at where that can be done without consuming it.

    Raises:
        InputError: It is not there, cannot be read, or is not what it was said to be.
        MissingPackageError: It is Parquet, and pyarrow is not installed.
    """
    path, limit_bytes = options.input_path, options.max_row_bytes
    _check_readable(path)
    kind = input_format(path, options.format)
    reader: Reader
    match kind:
        case InputFormat.TEXT:
            reader = TextReader(path, limit_bytes)
        case InputFormat.JSONL:
            reader = JsonlReader(path, limit_bytes, options.field, options.id_field)
        case InputFormat.CSV:
            reader = CsvReader(path, limit_bytes, options.field, options.id_field)
        case InputFormat.PARQUET:
            if not is_regular(path):
                raise InputError("Parquet cannot be read from a pipe: give the path of a file")
            require_pyarrow()
            from .parquet import ParquetReader

            reader = ParquetReader(path, limit_bytes, options.field, options.id_field)
    if is_regular(path):
        reader.check()
    return reader


def _check_readable(path: Path) -> None:
    if path == STANDARD:
        return
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not exists:
        raise InputError(f"{path} does not exist: check the path, or `-` reads standard input")
    if is_folder:
        raise InputError(f"{path} is a directory: name one file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: check its permissions")
