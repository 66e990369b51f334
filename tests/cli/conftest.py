"""The command inside the test's own process, and a broker where a test answers requests itself."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest
import structlog

from cli.main import run
from schemas.topics import TopicNames
from tests.transport.testbed import Testbed
from transport.embedded import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RunHere: TypeAlias = "Callable[..., tuple[int, str, str]]"
"""Takes arguments, and environment by name; gives exit status, output and errors."""


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunHere]:
    """Runs a command in this process, whose log is afterwards as it was before."""

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


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    """An embedded broker with the topics, and nobody there."""
    with EmbeddedBroker() as broker:
        broker.create_topics(TopicNames())
        testbed = Testbed.on_embedded(broker)
        yield testbed
        testbed.close()
