"""How far a run has come, beside its output: `OUT.progress`, replaced whole at each checkpoint.

The order of a checkpoint makes it right after a kill at any point: rows and errors are durable first, then the
journal that counts them. Whatever is past the journal's position is cut off by the run that continues.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from .durability import replace, sync_folder
from .errors import ResumeError
from .formats import input_format
from .options import beside

if TYPE_CHECKING:
    from pathlib import Path

    from .options import EmbedOptions

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A moment of the run: everything up to a row of the input is in the output or among the errors."""

    row: int = 0
    """Number of the last row done; numbers may have gaps where blank lines were."""
    output: int = 0
    """Bytes of JSONL, or parts of Parquet."""
    errors_bytes: int = 0
    embedded: int = 0
    failed: int = 0
    tokens: int = 0
    dim: int | None = None
    """Length of the vectors, once there is one."""


class Journal:
    """The journal of one output. Blocks."""

    def __init__(self, options: EmbedOptions) -> None:
        self._options = options
        self._path = beside(options.output_path, ".progress")
        self._settings = _settings(options)

    @property
    def path(self) -> Path:
        return self._path

    def exists(self) -> bool:
        return self._path.exists()

    def load(self) -> Position:
        """Where the earlier run stopped.

        Raises:
            ResumeError: The journal is of another input or other options, or cannot be read.
        """
        try:
            content: dict[str, Any] = orjson.loads(self._path.read_bytes())
            version, settings = content["version"], content["settings"]
            position = Position(**content["position"])
        except (ValueError, TypeError, KeyError) as error:
            raise ResumeError(f"{self._path} cannot be read ({error}): --force starts over") from error
        if version != _VERSION:
            raise ResumeError(f"{self._path} is of another version of this command: --force starts over")
        changed = [name for name, value in self._settings.items() if settings.get(name) != value]
        if changed:
            raise ResumeError(
                f"changed since the run that is to be resumed: {', '.join(changed)}: "
                "set them as they were, or --force starts over"
            )
        return position

    def save(self, position: Position) -> None:
        """Record a position whose rows are durable."""
        content = {"version": _VERSION, "settings": self._settings, "position": asdict(position)}
        replace(self._path, orjson.dumps(content, option=orjson.OPT_INDENT_2))

    def remove(self) -> None:
        """Forget the run: its output is complete."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)


def _settings(options: EmbedOptions) -> dict[str, object]:
    """All that the output depends on, under the names a person knows them by."""
    status = options.input_path.stat()
    return {
        "the input's size": status.st_size,
        "the input's modification time": status.st_mtime_ns,
        "--format": input_format(options.input_path, options.format).value,
        "--field": options.field,
        "--id-field": options.id_field,
        "--errors": str(options.errors_file.absolute()),
        "--model": options.model,
        "--input-type": options.input_type.value if options.input_type else None,
        "--truncate": options.truncate.value,
        "--dimensions": options.dimensions,
        "the largest row": options.max_row_bytes,
    }
