"""Runs the code blocks of a page in one folder, and compares what they print with what the page shows.

Pages are written for one place: the API at 127.0.0.1:8000, a worker's probes at 127.0.0.1:9464, the broker at
127.0.0.1:9092 or `$BOOTSTRAP`. All are led to the stack of the test. Numbers in a shown line stand for any number,
`…` for anything; a line that is only `…` stands for any lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from .pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from .pages import Block

_API = "127.0.0.1:8000"
_BROKER = "127.0.0.1:9092"
_WORKER = "127.0.0.1:9464"
_BOUND_SECONDS = 60


def addressed(text: str, bootstrap: str, api_url: str) -> str:
    """A block with the addresses of pages led to a broker and an API that run."""
    return text.replace(_API, api_url.removeprefix("http://")).replace(_BROKER, bootstrap)


class Workspace:
    """A folder to run blocks in, with `kafka-embeddings` on the path.

    Args:
        folder: Empty, the reader's working directory.
        bootstrap: Address of the broker.
        api_url: Address of the API.
        probes: Address of a worker's probes, where it has any.
    """

    def __init__(self, folder: Path, bootstrap: str, api_url: str, probes: str = _WORKER) -> None:
        self._folder = folder
        self._bootstrap = bootstrap
        self._api = api_url
        self._probes = probes
        commands = folder / ".commands"
        commands.mkdir()
        for name, module in (("kafka-embeddings", "-m cli.main"), ("python", "")):
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            script.chmod(0o755)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_EMBEDDINGS_")}
        self._environment = ours | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BOOTSTRAP": bootstrap,
            # No model where a command starts a worker of its own.
            "KAFKA_EMBEDDINGS_MODEL__ENCODER": "null",
        }

    def run(self, block: Block) -> str:
        """Run one block to its end; standard output and error together.

        Raises:
            AssertionError: It failed.
        """
        text = addressed(block.text, self._bootstrap, self._api).replace(_WORKER, self._probes)
        command = ["sh", "-eu", "-c", text] if block.language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_BOUND_SECONDS,
        )
        assert done.returncode == 0, f"{block.name} ended with {done.returncode}:\n{block.text}\n{done.stdout}"
        return done.stdout


def not_printed(shown: str, printed: str) -> list[str]:
    """Lines a page shows that are not among the printed ones, in this order."""
    rest = iter(printed.splitlines())
    return [line for line in shown.splitlines() if line.strip() != "…" and not _found(line, rest)]


def _found(shown: str, printed: object) -> bool:
    parts = re.split(r"(…|-?\d[\d.,]*)", shown)
    pattern = "".join(
        ".*" if part == "…" else r"-?\d[\d.,e-]*" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )
    return any(re.fullmatch(pattern, line) for line in printed)  # type: ignore[attr-defined]
