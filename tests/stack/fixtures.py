"""For any test to ask for: stacks, of which the shared ones are not to be harmed, and commands in its own process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest
import structlog

from .stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RunHere: TypeAlias = "Callable[..., tuple[int, str, str]]"
"""Takes arguments, and environment by name; gives exit status, output and errors."""


@pytest.fixture(scope="session")
def null_stack() -> Iterator[Stack]:
    """Broker, API and a worker that computes nothing, shared by the whole run."""
    with Stack() as stack:
        yield stack.start("--encoder", "null")


@pytest.fixture(scope="session")
def model_stack() -> Iterator[Stack]:
    """Broker, API and a worker with the real default model, shared by the whole run. Mark the test `model`."""
    with Stack() as stack:
        yield stack.start()


@pytest.fixture
def new_stack() -> Iterator[Stack]:
    """A broker of the test's own, with nothing started over it."""
    with Stack() as stack:
        yield stack


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunHere]:
    """Runs a command in this process, whose log is afterwards as it was before."""

    # Not before: most tests of the fast suite never need all of it.
    from cli.main import run

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

    yield run_here
    structlog.reset_defaults()
