"""Waiting for a condition, never for a time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.02


def wait_until(
    condition: Callable[[], bool],
    what: str,
    within_seconds: float = BOUND_SECONDS,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Wait until a condition holds.

    Args:
        condition: Asked again and again.
        what: What is waited for, for the failure.
        within_seconds: Bound.
        explain: What else to say in the failure.

    Raises:
        AssertionError: It did not hold in time.
    """
    until = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_seconds:g} s: {what}\n{explain()}")
        time.sleep(_LOOK_EVERY_SECONDS)


def stands_still(pid: int) -> bool:
    """Whether every thread of a child was stopped by a signal: on a busy machine it goes on for a while."""
    # WNOWAIT leaves an end's status to Popen; that of a stop is there as long as the stop, SIGCONT takes it away.
    status = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG)
    return status is not None and status.si_code == os.CLD_STOPPED
