"""What every reader offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..rows import AnyRow


class Reader(Protocol):
    """The rows of one input.

    Construction reads nothing. A row that cannot be used is yielded as a `BadRow`, and the next one follows.
    """

    def check(self) -> None:
        """Look at what can be known before the first row; called for regular files only.

        Raises:
            InputError: No row of this input could be read.
        """

    def count(self) -> int | None:
        """Rows in the input, or about as many, where that is cheap to know; called for regular files only."""

    def rows(self, after: int) -> Iterator[AnyRow]:
        """Rows whose number is past `after`, in order. Blocks while it reads.

        Raises:
            InputError: The input is not what it was said to be, or reading failed.
        """

    def metadata_fields(self) -> list[pa.Field[Any]] | None:
        """Arrow fields of the metadata, known once the first row was yielded; None where rows differ."""
