"""`up --sample` with the real model, on a part of the standard library that two cores embed in seconds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from cli.sample.corpus import standard_library
from tests.stack.command import Command

if TYPE_CHECKING:
    from pathlib import Path

_PART: Final = (
    "bz2.py",
    "codecs.py",
    "csv.py",
    "fileinput.py",
    "gzip.py",
    "json",
    "linecache.py",
    "lzma.py",
    "pickle.py",
    "tarfile.py",
    "zipfile.py",
    "zipfile",
)
"""What reads files, compressed ones among them; `zipfile` is a folder from Python 3.12 on."""


def copy_part(folder: Path) -> Path:
    """The part, as a standard library of its own."""
    for name in _PART:
        source = standard_library() / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def up_with_sample(root: Path, *flags: str) -> Command:
    """The command as `make run` has it; only its standard library is another folder."""
    script = (
        "import pathlib, cli.main, cli.sample.run\n"
        f"cli.sample.run.standard_library = lambda: pathlib.Path({str(root)!r})\n"
        "cli.main.run()\n"
    )
    return Command("up", "--sample", "--port", "0", *flags, script=script)
