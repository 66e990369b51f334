"""Sides of a comparison take turns, so that a noisy machine hits them all."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


def in_turn(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each side gave, round by round; every second round begins with the last side."""
    given: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            given[name].append(sides[name]())
    return given


def seconds(side: Callable[[], object]) -> float:
    """How long a side takes once."""
    started_at = time.perf_counter()
    side()
    return time.perf_counter() - started_at


def rate(side: Callable[[], object], count: int) -> Callable[[], float]:
    """The side as one that gives how many of its `count` things it does a second."""
    return lambda: count / seconds(side)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of at least two values."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}
