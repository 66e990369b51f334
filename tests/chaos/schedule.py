"""What goes wrong when: a pure function of a seed. The clock is the share of all requests that were sent."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FaultKind(StrEnum):
    """What can be done to a worker or to the broker."""

    KILL_WORKER = "worker killed"
    STOP_WORKER = "worker stopped for longer than its session"
    RESTART_WORKER = "worker drained and started again"
    JOIN_AND_LEAVE = "worker joined, then left"
    KILL_BROKER = "broker killed and restarted on its data"
    STOP_BROKER = "broker stopped for seconds"


_FIRST: Final = 0.03
_LAST: Final = 0.93
"""Nothing goes wrong outside of these: before, nothing is under way; after, the end must be reached."""

_SECONDS: Final[Mapping[FaultKind, tuple[float, float]]] = {
    FaultKind.KILL_WORKER: (0.0, 1.0),
    FaultKind.STOP_WORKER: (1.0, 3.0),
    FaultKind.RESTART_WORKER: (0.0, 1.0),
    FaultKind.JOIN_AND_LEAVE: (0.5, 3.0),
    FaultKind.KILL_BROKER: (0.0, 3.0),
    FaultKind.STOP_BROKER: (1.0, 4.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at: float
    """Share of all requests that were sent by then."""
    kind: FaultKind
    worker: int
    """Which of the workers, where it is about one."""
    seconds: float
    """How long it lasts; of a stopped worker, beyond its session."""


def schedule(seed: int, counts: Mapping[FaultKind, int], workers: int) -> tuple[Fault, ...]:
    """The faults in the order they happen; those of one kind are spread over the whole run.

    Args:
        seed: The same seed gives the same schedule.
        counts: How many of each kind.
        workers: How many there are to choose from.
    """
    chance = random.Random(f"faults {seed}")
    faults = []
    for kind in FaultKind:
        count = counts.get(kind, 0)
        for number in range(count):
            place = (number + chance.random()) / count
            seconds = chance.uniform(*_SECONDS[kind])
            faults.append(Fault(_FIRST + place * (_LAST - _FIRST), kind, chance.randrange(workers), seconds))
    return tuple(sorted(faults, key=lambda fault: fault.at))


def due(faults: Sequence[Fault], begun: int, progress: float) -> Sequence[Fault]:
    """Those that are to begin now.

    Args:
        faults: The schedule.
        begun: How many of them have begun.
        progress: Share of all requests that were sent.
    """
    end = begun
    while end < len(faults) and faults[end].at <= progress:
        end += 1
    return faults[begun:end]
