"""What a run was asked to do."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.requests import InputType, Truncate

from .formats import STANDARD

if TYPE_CHECKING:
    from .formats import InputFormat

DEFAULT_FIELD: Final = "text"
DEFAULT_ID_FIELD: Final = "id"
MAX_ROW_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """One run of `embed`."""

    input_path: Path
    """`-` reads standard input."""
    output_path: Path
    """`-` writes JSONL to standard output."""
    model: str
    format: InputFormat | None = None
    """None: by the input's ending."""
    field: str = DEFAULT_FIELD
    """Field or column that holds the text; text lines have none."""
    id_field: str | None = None
    """Field or column that holds the id; None: `id` where a row has it, else the row's number."""
    errors_path: Path | None = None
    """None: beside the output, see `errors_file`."""
    resume: bool = False
    force: bool = False
    """Overwrite what an earlier run left."""
    input_type: InputType | None = None
    truncate: Truncate = Truncate.END
    dimensions: int | None = None
    max_row_bytes: int = MAX_ROW_BYTES
    """A larger row goes to the errors file."""

    @property
    def errors_file(self) -> Path:
        """`OUT.errors.jsonl`; for standard output `<input's name>.errors.jsonl` in the working directory."""
        if self.errors_path is not None:
            return self.errors_path
        if self.output_path != STANDARD:
            return beside(self.output_path, ".errors.jsonl")
        name = "stdin" if self.input_path == STANDARD else self.input_path.name
        return Path(f"{name}.errors.jsonl")

    @property
    def resumable(self) -> bool:
        """Whether `--resume` can continue this run: both ends are regular files."""
        return self.output_path != STANDARD and is_regular(self.input_path)


def is_regular(path: Path) -> bool:
    """Whether the path is a file that can be read twice; not a pipe, a device or standard input."""
    if path == STANDARD:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def beside(path: Path, ending: str) -> Path:
    """The neighbour of a path whose name has this ending added."""
    return path.with_name(path.name + ending)
