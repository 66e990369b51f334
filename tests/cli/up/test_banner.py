from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from cli.up.banner import own_command

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _interpreter(folder: Path) -> str:
    folder.mkdir()
    for name in ("python", "kafka-embeddings"):
        (folder / name).touch(mode=0o755)
    return str(folder / "python")


def test_the_command_goes_by_its_name_where_the_shell_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", _interpreter(tmp_path / "bin"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert own_command() == "kafka-embeddings"


def test_the_command_goes_by_its_path_where_the_shell_does_not_find_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", _interpreter(tmp_path / "a folder"))
    monkeypatch.setenv("PATH", str(tmp_path))

    [path] = shlex.split(own_command())

    assert path == str(tmp_path / "a folder" / "kafka-embeddings")
