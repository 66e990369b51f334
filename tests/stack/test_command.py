"""`tests/stack/command.py`: a process that is paused stands still, and one that ended is not taken for one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .command import Command

_THREADS = 4
_BUSY = f"""
import sys, threading
def work():
    while True:
        pass
for _ in range({_THREADS}):
    threading.Thread(target=work, daemon=True).start()
print("busy", file=sys.stderr)
work()
"""


def _states(command: Command) -> list[str]:
    """Of each thread, as Linux has it; the name before it may hold anything."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{command.pid}/task").iterdir()]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


def test_a_paused_process_stands_still_with_all_its_threads_each_time_anew() -> None:
    with Command(script=_BUSY) as command:
        command.wait_for("busy")
        for _ in range(20):
            command.pause()
            assert _states(command) == ["T"] * (_THREADS + 1)
            command.resume()
            assert "T" not in _states(command)


def test_a_process_that_stands_still_already_may_be_paused() -> None:
    with Command(script=_BUSY) as command:
        command.wait_for("busy")
        command.pause()
        command.pause()
        assert set(_states(command)) == {"T"}


def test_a_process_that_goes_on_is_not_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Command(script=_BUSY) as command:
        command.wait_for("busy")
        command.pause()
        command.resume()
        # The stop before is no stop any more.
        monkeypatch.setattr(command, "signal", lambda _: None)
        with pytest.raises(AssertionError, match=r"not within 0\.1 s: `script` to stand still"):
            command.pause(within_seconds=0.1)


def test_a_process_that_has_ended_is_not_paused_and_keeps_its_exit_status() -> None:
    with Command(script="raise SystemExit(3)") as command:
        command.wait_for_everyone()
        with pytest.raises(AssertionError, match="ended before it stood still\nexit status 3 of"):
            command.pause()
        assert command.wait() == 3


def test_a_process_that_dies_while_it_is_paused_keeps_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with Command(script=_BUSY) as command:
        command.wait_for("busy")
        monkeypatch.setattr(command, "signal", lambda _: os.kill(command.pid, signal.SIGKILL))
        with pytest.raises(AssertionError, match="ended before it stood still"):
            command.pause()
        assert command.wait() == -signal.SIGKILL
