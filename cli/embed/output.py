"""Outcomes to disk: the writer, the errors file and the journal, kept in step."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import EmbedderError, OutputError
from .isolation import Embedded
from .rows import BadRow
from .writers.writer import RowRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .errors_file import ErrorsFile
    from .isolation import GroupResult, Outcome
    from .journal import Journal, Position
    from .writers.writer import Writer

UNWRITABLE = "unwritable_row"
"""Code in the errors file of a row that was embedded, and whose metadata the output cannot hold."""


class Output:
    """Takes results in input order and knows the position they add up to.

    Args:
        writer: Where rows go, at `position`.
        errors: Where bad rows go, at `position`.
        journal: None where the run cannot be resumed.
        position: Where an earlier run stopped.
        clock: Seconds; only differences count.
    """

    def __init__(
        self,
        writer: Writer,
        errors: ErrorsFile,
        journal: Journal | None,
        position: Position,
        clock: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._errors = errors
        self._journal = journal
        self._clock = clock
        self._last_checkpoint = clock()
        self.position = position

    def take(self, result: GroupResult) -> list[BadRow]:
        """Write the rows of one group; those that failed, in order.

        Raises:
            EmbedderError: A vector is not as long as those before it.
            OutputError: The disk or the reader of the output takes no more.
        """
        failed: list[BadRow] = []
        with _writing():
            for outcome in result.outcomes:
                bad = self._write(outcome)
                done = self.position
                if bad is None:
                    self.position = replace(done, row=_number(outcome), embedded=done.embedded + 1)
                else:
                    self._errors.write(bad)
                    failed.append(bad)
                    self.position = replace(done, row=bad.number, failed=done.failed + 1)
        self.position = replace(self.position, tokens=self.position.tokens + result.tokens)
        return failed

    def checkpoint_if_due(self) -> None:
        """Checkpoint where the writer is full or the time has come. Blocks for as long as the disk takes."""
        waited_seconds = self._clock() - self._last_checkpoint
        if self._writer.is_full or waited_seconds >= self._writer.checkpoint_every_seconds:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make everything taken durable, then say so in the journal.

        Raises:
            OutputError: It could not be; the journal's earlier position stands.
        """
        with _writing():
            output, errors_bytes = self._writer.checkpoint(), self._errors.checkpoint()
            self.position = replace(self.position, output=output, errors_bytes=errors_bytes)
            if self._journal is not None:
                self._journal.save(self.position)
        self._last_checkpoint = self._clock()

    def finish(self) -> Iterator[None]:
        """Complete the output in steps; the journal goes last but for what only it needed."""
        self.checkpoint()
        with _writing():
            yield from self._writer.finish()
            if self._journal is not None:
                self._journal.remove()
            self._writer.clean_up()

    def close(self) -> None:
        self._writer.close()
        self._errors.close()

    def _write(self, outcome: Outcome) -> BadRow | None:
        """None where the row was written."""
        if isinstance(outcome, BadRow):
            return outcome
        dim = len(outcome.vector)
        if self.position.dim is None:
            self.position = replace(self.position, dim=dim)
        if dim != self.position.dim:
            raise EmbedderError(
                f"row {outcome.row.number} got a vector of {dim} numbers, the rows before it "
                f"{self.position.dim}: another model answers under this name"
            )
        try:
            self._writer.write(outcome)
        except RowRefusedError as refused:
            row = outcome.row
            return BadRow(row.number, row.line, str(refused), row.id, UNWRITABLE)
        return None


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputError("whoever read the output has stopped reading") from error
    except OSError as error:
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


def _number(outcome: Outcome) -> int:
    return outcome.row.number if isinstance(outcome, Embedded) else outcome.number
