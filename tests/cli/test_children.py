from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from cli.children import Child, stop_children
from cli.errors import ChildKeepsDyingError, ChildSettingsError
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LIVES = ["api", "--bootstrap", "127.0.0.1:1", "--port", "0"]
_DIES = ["--version"]
_HAS_WRONG_FLAGS = ["worker", "--no-such-flag"]


@pytest.fixture
def start() -> Iterator[Callable[[list[str], list[str]], Child]]:
    """Starts a child; the lines it is said to die with go to a list."""
    theirs, ours = os.pipe()
    children: list[Child] = []

    def start(arguments: list[str], said: list[str]) -> Child:
        children.append(Child("worker", arguments, theirs, said.append))
        return children[-1]

    yield start
    for child in children:
        child.stop(time.monotonic())
    os.close(ours)
    os.close(theirs)


def _revived(child: Child, now: float = 0.0) -> None:
    wait_until(lambda: child.revive(now), "a death to be noticed")


def test_a_child_that_lives_is_left_alone(start: Callable[[list[str], list[str]], Child]) -> None:
    said: list[str] = []
    child = start(_LIVES, said)
    pid = child.pid

    assert not child.revive(0.0)

    assert child.pid == pid
    assert said == []


def test_a_killed_child_is_started_again_and_its_end_is_told(start: Callable[[list[str], list[str]], Child]) -> None:
    said: list[str] = []
    child = start(_LIVES, said)
    pid = child.pid
    os.kill(pid, signal.SIGKILL)

    _revived(child)

    assert child.pid != pid
    assert said == ["the worker was killed by SIGKILL, starting it again"]
    assert not child.revive(0.0)


def test_a_child_that_dies_six_times_within_a_minute_is_given_up(
    start: Callable[[list[str], list[str]], Child],
) -> None:
    said: list[str] = []
    child = start(_DIES, said)

    for now in (0.0, 10.0, 20.0, 30.0, 40.0):
        _revived(child, now)
        child.revive(now + 1)
    with pytest.raises(ChildKeepsDyingError, match="the worker exited with status 0 and keeps failing"):
        _revived(child, now=59.0)

    assert said == ["the worker exited with status 0, starting it again"] * 5


def test_a_second_death_within_a_minute_is_followed_by_a_pause(
    start: Callable[[list[str], list[str]], Child],
) -> None:
    child = start(_DIES, [])
    _revived(child, now=0.0)
    second = child.pid

    _revived(child, now=10.0)

    assert not child.revive(10.9)
    assert child.pid == second
    assert not child.revive(11.0)
    assert child.pid != second


def test_deaths_longer_ago_than_a_minute_are_forgiven(start: Callable[[list[str], list[str]], Child]) -> None:
    child = start(_DIES, [])

    for now in (0.0, 30.0, 60.0, 90.0, 120.0):
        _revived(child, now)

    assert child.pid > 0


def test_a_child_with_wrong_settings_is_given_up_at_once(start: Callable[[list[str], list[str]], Child]) -> None:
    child = start(_HAS_WRONG_FLAGS, [])

    with pytest.raises(ChildSettingsError, match="exited with status 2"):
        _revived(child)


def test_a_death_is_told_once_however_long_the_pause(start: Callable[[list[str], list[str]], Child]) -> None:
    said: list[str] = []
    child = start(_DIES, said)
    _revived(child, now=0.0)
    _revived(child, now=10.0)

    assert not any(child.revive(10.0 + step / 100) for step in range(50))

    assert len(said) == 2


def test_stop_ends_a_child_that_listens_within_its_time(start: Callable[[list[str], list[str]], Child]) -> None:
    child = start(_DIES, [])

    assert child.stop(time.monotonic() + 10) is None

    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_stop_kills_a_child_that_does_not_listen(start: Callable[[list[str], list[str]], Child]) -> None:
    child = start(_LIVES, [])
    os.kill(child.pid, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)  # until it has stopped, or SIGTERM overtakes
    began_at = time.monotonic()

    assert child.stop(began_at + 0.3) == "did not stop in time and was killed"

    assert 0.25 < time.monotonic() - began_at < 5
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_is_told_to_stop_once_since_a_second_time_would_end_it_without_draining(
    start: Callable[[list[str], list[str]], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(_LIVES, [])
    told: list[int] = []
    monkeypatch.setattr(subprocess.Popen, "terminate", lambda process: told.append(process.pid))

    child.ask_to_stop()
    stop_children([child], 0.1)

    assert told == [child.pid]


def test_those_that_did_not_end_well_are_named_and_the_others_are_not(
    start: Callable[[list[str], list[str]], Child],
) -> None:
    stuck, fails, fine = start(_LIVES, []), start(_HAS_WRONG_FLAGS, []), start(_DIES, [])
    stuck.name, fails.name, fine.name = "first", "second", "third"
    os.kill(stuck.pid, signal.SIGSTOP)
    os.waitpid(stuck.pid, os.WUNTRACED)
    for ending in (fails, fine):
        os.waitid(os.P_PID, ending.pid, os.WEXITED | os.WNOWAIT)

    unwell = stop_children([stuck, fails, fine], 0.3)

    assert unwell == ["the first did not stop in time and was killed", "the second exited with status 2"]
