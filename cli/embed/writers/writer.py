"""What every writer offers, and the names of our own fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..isolation import Embedded

ID: Final = "id"
EMBEDDING: Final = "embedding"
_RENAMED: Final = {ID: "input_id", EMBEDDING: "input_embedding"}


class RowRefusedError(Exception):
    """A row cannot be written in this format; nothing of it was. The message is the reason."""


class Writer(Protocol):
    """Rows in, in order; durable at checkpoints."""

    checkpoint_every_seconds: float

    @property
    def is_full(self) -> bool:
        """Whether so much is held in memory that a checkpoint is due whatever the time."""

    def write(self, embedded: Embedded) -> None:
        """Take one row.

        Raises:
            RowRefusedError: The row's metadata cannot be written; the row goes to the errors file.
        """

    def checkpoint(self) -> int:
        """Make every row taken durable; the position to give to a writer that continues here."""

    def finish(self) -> Iterator[None]:
        """Complete the output in steps, after the last checkpoint; may be repeated after a crash."""

    def clean_up(self) -> None:
        """Remove what only a resumption would need, once the output is complete."""

    def close(self) -> None:
        """Let go of files; takes no further row."""


def output_name(name: str) -> str:
    """The name an input field has in the output: our own fields win, so its `embedding` is `input_embedding`."""
    return _RENAMED.get(name, name)
