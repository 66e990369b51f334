"""Child processes that are started, watched, restarted and stopped.

Each child is a fresh interpreter in a session of its own (librdkafka and torch do not survive a fork, and Ctrl-C must
reach the parent alone). It inherits one end of a pipe; should the parent die, the pipe closes and the child stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..lifetime import PARENT_PIPE
from .errors import ChildKeepsDyingError

if TYPE_CHECKING:
    from collections.abc import Callable

_DEATHS: Final = 3
_WITHIN_SECONDS: Final = 60.0


def _python_path() -> str:
    """Ours first, so that a tree that is not installed works too."""
    given = os.environ.get("PYTHONPATH")
    ours = str(Path(__file__).parents[2])
    return ours if not given else os.pathsep.join((ours, given))


class Child:
    """One `kafka-embeddings` process.

    Args:
        name: `worker` or `api`.
        arguments: Its command line.
        parent_pipe: Descriptor it inherits.
        say: Gets a line about each death.
    """

    def __init__(self, name: str, arguments: list[str], parent_pipe: int, say: Callable[[str], None]) -> None:
        self.name = name
        self._arguments = arguments
        self._parent_pipe = parent_pipe
        self._say = say
        self._deaths: list[float] = []
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P: a folder of the working directory that is called like one of our packages must not be taken for it.
            [sys.executable, "-P", "-m", "cli.main", *self._arguments],
            start_new_session=True,
            pass_fds=[self._parent_pipe],
            env={**os.environ, PARENT_PIPE: str(self._parent_pipe), "PYTHONPATH": _python_path()},
            stdin=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def revive(self, now: float) -> bool:
        """Restart it when it has died.

        Returns:
            Whether it had.

        Raises:
            ChildKeepsDyingError: It died three times within a minute, or its settings are wrong.
        """
        status = self._process.poll()
        if status is None:
            return False
        reason = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        self._deaths = [at for at in self._deaths if now - at < _WITHIN_SECONDS] + [now]
        # Status 2: wrong settings; it would only say the same again.
        if status == 2 or len(self._deaths) >= _DEATHS:
            raise ChildKeepsDyingError(f"the {self.name} {reason} and keeps failing: see its message above")
        self._say(f"the {self.name} {reason}, starting it again")
        self._process = self._start()
        return True

    def ask_to_stop(self) -> None:
        """SIGTERM; does not wait."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self, until: float) -> None:
        """SIGTERM, then SIGKILL at `until` (on the monotonic clock)."""
        self.ask_to_stop()
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
