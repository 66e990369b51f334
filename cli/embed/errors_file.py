"""The rows that could not be embedded, one JSON object a line; the file is there once there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import orjson

from .durability import sync, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from .rows import BadRow


class ErrorsFile:
    """Appends `{row, line, id, code, message}`; `line` and `id` where they are known.

    Args:
        path: Created with the first bad row.
        keep_bytes: What an earlier run made durable; everything after it is cut off.
    """

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self._path = path
        self._bytes = keep_bytes
        self._stream: BinaryIO | None = None
        if keep_bytes:
            self._stream = path.open("ab")
            self._stream.truncate(keep_bytes)
        else:
            path.unlink(missing_ok=True)

    def write(self, row: BadRow) -> None:
        if self._stream is None:
            self._stream = self._path.open("ab")
            sync_folder(self._path.parent)
        fields = {"row": row.number, "line": row.line, "id": row.id, "code": row.code, "message": row.reason}
        shown = {name: value for name, value in fields.items() if value is not None}
        line = orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)
        self._stream.write(line)
        self._bytes += len(line)

    def checkpoint(self) -> int:
        """Make every row taken durable; the length to give to the run that continues here."""
        if self._stream is not None:
            sync(self._stream)
        return self._bytes

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
