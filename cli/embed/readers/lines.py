"""Bytes to physical lines of bounded length."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from ..errors import InputError
from ..formats import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COUNT_CHUNK_BYTES: Final = 1024 * 1024
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line."""

    number: int
    """1-based."""
    content: bytes
    """With its line ending; the beginning only, where the line is over the limit."""
    over_limit: bool
    quotes: int
    """Double quotes in the whole line; counted only where it is over the limit."""


def open_input(path: Path) -> BinaryIO:
    """Open the input, or standard input.

    Raises:
        InputError: It cannot be opened.
    """
    if path == STANDARD:
        # A reader of its own: a thread abandoned inside sys.stdin's lock would abort the interpreter at exit.
        return open(0, "rb", closefd=False)
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_lines(path: Path, limit_bytes: int) -> Iterator[Line]:
    """Physical lines of the input, each of at most `limit_bytes` before its ending; a UTF-8 BOM is dropped.

    Raises:
        InputError: It cannot be read, or is UTF-16.
    """
    with open_input(path) as stream:
        number = 0
        longest = limit_bytes + 2
        while content := _readline(stream, longest, path):
            number += 1
            if number == 1:
                content = _without_bom(content, path)
                if not content:
                    return
            over_limit = len(without_ending(content)) > limit_bytes
            quotes = content.count(b'"') if over_limit else 0
            tail = content
            while over_limit and not tail.endswith(b"\n") and (tail := _readline(stream, longest, path)):
                quotes += tail.count(b'"')
            yield Line(number, content, over_limit, quotes)


def without_ending(line: bytes) -> bytes:
    """The line without its LF or CRLF."""
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line.removesuffix(b"\n")


def count_lines(path: Path) -> int:
    """Physical lines of a regular file, the last one with or without its newline."""
    lines, last = 0, b"\n"
    with open_input(path) as stream:
        while chunk := stream.read(_COUNT_CHUNK_BYTES):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")


def _readline(stream: BinaryIO, limit_bytes: int, path: Path) -> bytes:
    try:
        return stream.readline(limit_bytes)
    except OSError as error:
        raise InputError(f"cannot read on in {path}: {error.strerror}") from error


def _without_bom(line: bytes, path: Path) -> bytes:
    if line.startswith(_UTF16):
        raise InputError(f"{path} is UTF-16: convert it first, `iconv -f UTF-16 -t UTF-8 {path}`")
    return line.removeprefix(codecs.BOM_UTF8)
