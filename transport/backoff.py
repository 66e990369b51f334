"""How long to wait before something transient is tried again. Pure: chance is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def backoff_seconds(tries: int, *, first: float, most: float, random: Callable[[], float]) -> float:
    """Doubles with every try, and differs between those that failed together.

    Args:
        tries: How often it has failed, from 1.
        first: Seconds after the first failure, at the most.
        most: Seconds after however many.
        random: Gives numbers in [0, 1).

    Returns:
        Between half of the doubled time and all of it.
    """
    # 2 ** 64 times anything is past every bound; larger powers have no float.
    longest = min(most, first * 2.0 ** min(tries - 1, 64))
    return longest * (0.5 + 0.5 * random())
