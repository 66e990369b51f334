"""The command inside the test's own process, for what ends before anything is started."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest

from cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

RunHere: TypeAlias = "Callable[..., tuple[int, str, str]]"
"""Takes arguments, and environment by name; gives exit status, output and errors."""


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Runs a command in this process."""

    def run_here(*arguments: str, **environment: str) -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith("KAFKA_EMBEDDINGS_")]:
            monkeypatch.delenv(name)
        for name, value in {"COLUMNS": "120", **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["kafka-embeddings", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run_here
