"""One `kafka-embeddings` process: started, listened to, signalled, and killed at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from .waiting import BOUND_SECONDS, stands_still, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]


class Command:
    """A running `kafka-embeddings` command; leave by `kill` or as a context manager.

    Standard error and output are read all the time, so that the process never waits for us and every failure can
    quote them. Children inherit both: their end is the end of the last process.

    Args:
        arguments: The command line.
        environment: Set on top of our own, from which every setting of ours is left out.
        script: Python to run in place of the command.
        pass_fds: Descriptors the process inherits.
    """

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        script: str | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.name = " ".join(arguments) or "script"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_EMBEDDINGS_")}
        self._process = subprocess.Popen(
            [sys.executable, *(["-c", script] if script else ["-m", "cli.main"]), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self._text = {"stdout": "", "stderr": ""}
        self._listeners = [
            threading.Thread(target=self._listen, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    def _listen(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._text[name] += line.decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self._text["stdout"]

    @property
    def stderr(self) -> str:
        """What it has complained of so far."""
        return self._text["stderr"]

    @property
    def own_lines(self) -> list[str]:
        """What it has told a person: standard error without the log."""
        return [line for line in self.stderr.splitlines() if not line.startswith("{")]

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, pattern: str, within_seconds: float = BOUND_SECONDS) -> re.Match[str]:
        """Wait for text on standard error; the latest match."""

        def found_or_ended() -> bool:
            return re.search(pattern, self.stderr) is not None or not self._is_heard()

        wait_until(found_or_ended, f"{pattern!r} from `{self.name}`", within_seconds, self.quote)
        matches = list(re.finditer(pattern, self.stderr))
        assert matches, f"`{self.name}` ended without {pattern!r}\n{self.quote()}"
        return matches[-1]

    def wait(self, within_seconds: float = BOUND_SECONDS) -> int:
        """Wait for its end and the end of whoever it started; its exit status."""
        wait_until(lambda: not self.is_running, f"the end of `{self.name}`", within_seconds, self.quote)
        self.wait_for_everyone(within_seconds)
        return self._process.wait()

    def wait_for_everyone(self, within_seconds: float = BOUND_SECONDS) -> None:
        """Wait until no process holds its standard error or output any more, children included."""
        what = f"the end of whatever `{self.name}` started"
        wait_until(lambda: not self._is_heard(), what, within_seconds, self.quote)

    def _is_heard(self) -> bool:
        return any(listener.is_alive() for listener in self._listeners)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def pause(self, within_seconds: float = BOUND_SECONDS) -> None:
        """SIGSTOP, and wait until every thread of it stands still: on a busy machine it goes on for a while.

        Raises:
            AssertionError: It has ended, or does not stand still in time.
        """
        self.signal(signal.SIGSTOP)
        what = f"`{self.name}` to stand still"
        wait_until(lambda: not self.is_running or stands_still(self.pid), what, within_seconds, self.quote)
        assert self.is_running, f"`{self.name}` ended before it stood still\n{self.quote()}"

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, also when it is paused."""
        self._process.kill()
        self._process.wait()

    def quote(self) -> str:
        """What it said, for a failure."""
        return f"exit status {self._process.poll()} of `{self.name}`, which said:\n{self.stdout}{self.stderr}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def run_command(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    script: str | None = None,
    within_seconds: float = BOUND_SECONDS,
) -> tuple[int, Command]:
    """Run a command to its end; exit status, and what it said."""
    with Command(*arguments, environment=environment, script=script) as command:
        return command.wait(within_seconds), command
