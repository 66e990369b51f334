"""Bytes that are still there after the power failed: written, flushed, synchronised, renamed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path


def sync(stream: BinaryIO) -> None:
    """Flush a stream down to the disk. Blocks."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename, a new file, a removal. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as stream:
        stream.write(content)
        sync(stream)
    commit(unfinished, path)


def commit(unfinished: Path, path: Path) -> None:
    """Give a file that was synchronised its name, in place of what had it."""
    unfinished.replace(path)
    sync_folder(path.parent)
