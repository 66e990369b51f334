"""Which format a path is, by its ending; one table a direction."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

from .errors import InputError, OutputError

STANDARD: Final = Path("-")
"""Standard input as an input, standard output as an output."""


class InputFormat(StrEnum):
    """How the input holds its rows."""

    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class OutputFormat(StrEnum):
    """How the output holds its rows."""

    JSONL = "jsonl"
    PARQUET = "parquet"


INPUT_ENDINGS: Final = {
    ".txt": InputFormat.TEXT,
    ".jsonl": InputFormat.JSONL,
    ".ndjson": InputFormat.JSONL,
    ".csv": InputFormat.CSV,
    ".parquet": InputFormat.PARQUET,
    ".pq": InputFormat.PARQUET,
}
OUTPUT_ENDINGS: Final = {
    ".jsonl": OutputFormat.JSONL,
    ".ndjson": OutputFormat.JSONL,
    ".parquet": OutputFormat.PARQUET,
    ".pq": OutputFormat.PARQUET,
}
_COMPRESSED: Final = {".gz", ".bz2", ".xz", ".zst"}


def input_format(path: Path, given: InputFormat | None) -> InputFormat:
    """The format given, else that of the ending; standard input is text lines.

    Raises:
        InputError: Neither says.
    """
    if given is not None:
        return given
    if path == STANDARD:
        return InputFormat.TEXT
    ending = path.suffix.lower()
    if ending in _COMPRESSED:
        raise InputError(f"{path} is compressed: decompress it into `embed - --format …`, or into a file")
    if ending not in INPUT_ENDINGS:
        raise InputError(
            f"{path}: the ending {ending!r} names no format: "
            f"use one of {' '.join(INPUT_ENDINGS)}, or --format text|jsonl|csv|parquet"
        )
    return INPUT_ENDINGS[ending]


def output_format(path: Path) -> OutputFormat:
    """The format of the ending; standard output is JSONL.

    Raises:
        OutputError: The ending names no format.
    """
    if path == STANDARD:
        return OutputFormat.JSONL
    ending = path.suffix.lower()
    if ending not in OUTPUT_ENDINGS:
        raise OutputError(
            f"{path}: the ending {ending!r} names no output format: use one of {' '.join(OUTPUT_ENDINGS)}"
        )
    return OUTPUT_ENDINGS[ending]
