"""Where a run writes: what is there already, what may be overwritten, and where an earlier run goes on."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arrow import require_pyarrow
from .errors import EmbedError, OutputError, ResumeError
from .errors_file import ErrorsFile
from .formats import STANDARD, OutputFormat, output_format
from .journal import Journal, Position
from .options import beside
from .output import Output
from .writers.jsonl import JsonlWriter, StandardOutputWriter, standard_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .options import EmbedOptions
    from .readers.reader import Reader
    from .writers.writer import Writer


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a run writes, checked, with nothing changed yet."""

    options: EmbedOptions
    format: OutputFormat
    journal: Journal | None
    position: Position

    def open(self, reader: Reader, clock: Callable[[], float]) -> Output:
        """Open the output at the position.

        Raises:
            OutputError: A file cannot be written.
        """
        fresh_journal = self.journal if self.position == Position() else None
        try:
            # Everything later follows from the journal, so it is the first thing to say "from the start".
            if fresh_journal is not None:
                fresh_journal.save(self.position)
            writer = self._writer(reader)
            errors = self._errors_file(writer)
        except (EmbedError, OSError) as error:
            if fresh_journal is not None:
                fresh_journal.remove()
            if isinstance(error, EmbedError):
                raise
            raise OutputError(f"cannot write {error.filename}: {error.strerror}") from error
        return Output(writer, errors, self.journal, self.position, clock)

    def discard(self) -> None:
        """Remove what `open` made, where a run failed before its first row."""
        path = self.options.output_path
        if path == STANDARD:
            return
        path.unlink(missing_ok=True)
        shutil.rmtree(beside(path, ".parts"), ignore_errors=True)
        if self.journal is not None:
            self.journal.remove()

    def _errors_file(self, writer: Writer) -> ErrorsFile:
        try:
            return ErrorsFile(self.options.errors_file, self.position.errors_bytes)
        except BaseException:
            writer.close()
            raise

    def _writer(self, reader: Reader) -> Writer:
        path = self.options.output_path
        if path == STANDARD:
            return StandardOutputWriter(standard_output())
        if self.format is OutputFormat.JSONL:
            return JsonlWriter(path, self.position.output)
        from .writers.parquet import ParquetWriter

        return ParquetWriter(path, reader, self.position.output, self.options.dimensions)


def check_destination(options: EmbedOptions) -> Destination:
    """Decide where the run starts.

    Raises:
        OutputError: The output is there already, or cannot be written.
        ResumeError: `--resume` was asked for, and what is there is no earlier part of this run.
        MissingPackageError: The output is Parquet, and pyarrow is not installed.
    """
    kind = output_format(options.output_path)
    if kind is OutputFormat.PARQUET:
        require_pyarrow()
    if options.resume and options.force:
        raise OutputError("--resume continues and --force starts over: give one of them")
    if options.resume and not options.resumable:
        raise ResumeError("--resume needs an input and an output that are files: a pipe cannot be read twice")
    _check_folders(options)
    journal = Journal(options) if options.resumable else None
    if options.resume and journal is not None and journal.exists():
        position = journal.load()
        _check_lengths(options, kind, position)
        return Destination(options, kind, journal, position)
    if not options.force:
        _check_free(options)
    return Destination(options, kind, journal, Position())


def _check_folders(options: EmbedOptions) -> None:
    written = [path for path in (options.output_path, options.errors_file) if path != STANDARD]
    for path in written:
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is no directory: create it first")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{path.parent} cannot be written: check its permissions")
        if path.is_dir():
            raise OutputError(f"{path} is a directory: name a file")
        if options.input_path != STANDARD and _same(path, options.input_path):
            raise OutputError(f"{path} is the input itself: name another file")
    if len(written) == 2 and _same(*written):
        raise OutputError(f"{written[0]} is both the output and the errors file: name two")


def _check_free(options: EmbedOptions) -> None:
    """Raise unless nothing is there that this run would overwrite."""
    journal_path = beside(options.output_path, ".progress")
    if options.output_path != STANDARD and journal_path.exists():
        raise OutputError(
            f"{options.output_path} was begun by an earlier run: --resume continues it, --force starts over"
        )
    hint = "it is complete, or not of this command; " if options.resume else ""
    for path in (options.output_path, options.errors_file, beside(options.output_path, ".parts")):
        if path != STANDARD and path.exists():
            raise OutputError(f"{path} is there already: {hint}name another file, or --force overwrites it")


def _check_lengths(options: EmbedOptions, kind: OutputFormat, position: Position) -> None:
    """Raise where a file is shorter than the journal says it was when it was made durable."""
    recorded = [(options.errors_file, position.errors_bytes)]
    if kind is OutputFormat.JSONL:
        recorded.append((options.output_path, position.output))
    for path, size_bytes in recorded:
        present_bytes = path.stat().st_size if path.exists() else 0
        if present_bytes < size_bytes:
            raise ResumeError(
                f"{path} has {present_bytes} bytes, the earlier run wrote {size_bytes}: --force starts over"
            )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
