"""A real Redis of the test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def why_no_redis() -> str | None:
    """Why none can be started here, or None."""
    return None if shutil.which("redis-server") else "redis-server is not installed"


class RedisServer:
    """Keeps its port over stops and starts, and nothing else.

    Args:
        folder: Empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it; waits until it answers."""
        options = {"port": str(self._port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "an answer from Redis")

    def stop(self) -> None:
        """Kill it, and what it has counted with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)) != 0:
                return False
            probe.settimeout(1)
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
