"""Where peers are installed: each in an environment of its own under `.clients/`, made when it is asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING

from benchmarks.services import end
from tests.clients.environments import PythonClients

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

_SOURCES = Path(__file__).parent


class Peer(PythonClients):
    """A peer's packages, and the programs of ours that use them."""

    def __init__(self) -> None:
        super().__init__(_SOURCES)

    @property
    def version(self) -> str:
        """The package that it is there for, and its version."""
        lines = (_SOURCES / self.language / "requirements.txt").read_text().splitlines()
        return next(line for line in lines if not line.startswith("#"))

    def start(
        self,
        leaving: ExitStack,
        *command: str,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program of the environment by its name, `python` for instance; it ends with the benchmark."""
        program, *arguments = command
        process = subprocess.Popen(
            [str(self.folder / "venv" / "bin" / program), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=output,
        )
        leaving.callback(end, process)
        return process


class OpenVino(Peer):
    """OpenVINO's runtime, and nothing of ours beside it."""

    language = "openvino"


class Infinity(Peer):
    """Infinity with the transformers and optimum that it needs."""

    language = "infinity"
