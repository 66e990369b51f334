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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import ChildKeepsDyingError, ChildSettingsError
from .lifetime import PARENT_PIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_DEATHS: Final = 6
"""Three or four find a request that kills its worker (`worker.attempts`), and there may be another."""
_WITHIN_SECONDS: Final = 60.0
_BACKOFF_SECONDS: Final = 1.0
_WRONG_SETTINGS: Final = 2


def _python_path() -> str:
    """Ours first, so that a tree that is not installed works too."""
    given = os.environ.get("PYTHONPATH")
    ours = str(Path(__file__).parents[1])
    return ours if not given else os.pathsep.join((ours, given))


class Child:
    """One `kafka-embeddings` process.

    Args:
        name: What it is called in lines to people: `worker`, `API`.
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
        self._start_at: float | None = None
        """When a dead one is started again."""
        self._asked_to_stop = False
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
        """Restart it when it has died: at once the first time, a second later each further time within a minute.

        Args:
            now: On the monotonic clock.

        Returns:
            Whether it has died since the last call.

        Raises:
            ChildKeepsDyingError: It died six times within a minute.
            ChildSettingsError: Its settings are wrong.
        """
        if self._start_at is None:
            status = self._process.poll()
            if status is None:
                return False
            self._start_at = now + self._note_death(status, now)
            died = True
        else:
            died = False
        if now >= self._start_at:
            self._start_at = None
            self._process = self._start()
        return died

    def _note_death(self, status: int, now: float) -> float:
        """Seconds to wait before it is started again."""
        ended = _ended(status)
        if status == _WRONG_SETTINGS:
            raise ChildSettingsError(f"the {self.name} {ended}: see its message above")
        self._deaths = [at for at in self._deaths if now - at < _WITHIN_SECONDS] + [now]
        if len(self._deaths) >= _DEATHS:
            raise ChildKeepsDyingError(f"the {self.name} {ended} and keeps failing: see its message above")
        self._say(f"the {self.name} {ended}, starting it again")
        return _BACKOFF_SECONDS if len(self._deaths) > 1 else 0.0

    def ask_to_stop(self) -> None:
        """SIGTERM, once: a second one would end it without draining. Does not wait."""
        if not self._asked_to_stop and self._process.poll() is None:
            self._asked_to_stop = True
            self._process.terminate()

    def stop(self, until: float) -> str | None:
        """SIGTERM, then SIGKILL at `until` (on the monotonic clock).

        Returns:
            How it ended, when not well: it failed, or did not end in time.
        """
        self.ask_to_stop()
        try:
            status = self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "did not stop in time and was killed"
        # By SIGTERM itself: it was still starting, and had nothing to finish.
        return None if status in (0, -signal.SIGTERM) else _ended(status)


def stop_children(children: Sequence[Child], within_seconds: float) -> list[str]:
    """Stop them all at once. Blocks until the last one has ended.

    Returns:
        A line about each that did not end well.
    """
    until = time.monotonic() + within_seconds
    for child in children:
        child.ask_to_stop()
    ends = [(child.name, child.stop(until)) for child in children]
    return [f"the {name} {ended}" for name, ended in ends if ended is not None]


@contextmanager
def parent_pipe() -> Iterator[int]:
    """The end that children inherit; ours closes with this process, however it ends."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


def _ended(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
