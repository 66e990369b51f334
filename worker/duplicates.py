"""Same inputs are computed once: the first one leads, and those that come while it is under way get its vector.

The same means: the same final token ids, as many of them left out of pooling, and a vector of the same length; a
worker serves one model. Where a leader is not computed (its request failed or expired, its partition left), the next
of its followers takes its place. The lanes share no leaders: an interactive input behind a bulk one would wait longer
than alone.

Between tokenization and scheduler, and calls nobody: the stage asks what to compute and says what became of it. What
is held lives as long as its leader is under way; vectors outlive it in the cache only, where there is one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from schemas.topics import Lane

from .vector_cache import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .scheduler import WaitingInput
    from .vector_cache import VectorCache


class Admitted(NamedTuple):
    """What is to be done about inputs that came in; those in neither list follow others."""

    to_compute: list[WaitingInput]
    """In the order given."""
    known: list[tuple[WaitingInput, NDArray[np.float32]]]
    """Those whose vector is there already, shape `(dim,)`, read-only."""


class Duplicates:
    """Leaders under way and their followers. Thread-safe.

    Each input that is handed out to be computed must come back once, through `delivered` or `given_up`.

    Args:
        cache: Vectors of earlier inputs; None: nothing is kept beyond its leader.
    """

    def __init__(self, cache: VectorCache | None = None) -> None:
        self._cache = cache
        self._key: Callable[[Sequence[int], int, int], Hashable] = _quick_key if cache is None else fingerprint
        # Nothing is called with it held, so it may be taken under any other lock.
        self._lock = threading.Lock()
        self._leaders: dict[Lane, dict[Hashable, WaitingInput]] = {lane: {} for lane in Lane}
        self._followers: dict[WaitingInput, list[WaitingInput]] = {}
        """By leader; a leader without any may be missing."""

    def __len__(self) -> int:
        """Leaders under way."""
        return sum(map(len, self._leaders.values()))

    def admit(self, inputs: Sequence[WaitingInput]) -> Admitted:
        """Take in inputs; from any thread."""
        keys = [self._key(waiting.ids, waiting.item.dim, waiting.unpooled) for waiting in inputs]
        admitted = Admitted([], [])
        with self._lock:
            for waiting, key in zip(inputs, keys, strict=True):
                vector = self._cache.get(key) if self._cache is not None else None
                if vector is not None:
                    admitted.known.append((waiting, vector))
                    continue
                leader = self._leaders[waiting.item.lane].setdefault(key, waiting)
                if leader is waiting:
                    waiting.leads_by = key
                elif _are_same(leader, waiting):
                    self._followers.setdefault(leader, []).append(waiting)
                    continue
                admitted.to_compute.append(waiting)
        return admitted

    def delivered(self, leader: WaitingInput, vector: NDArray[np.float32]) -> Sequence[WaitingInput]:
        """An input was computed.

        Args:
            leader: The input.
            vector: Shape `(>= dim,)`, finite; only `dim` numbers of it count.

        Returns:
            Its followers, which get the same vector.
        """
        if leader.leads_by is None:
            return ()
        with self._lock:
            if self._cache is not None:
                self._cache.put(leader.leads_by, vector[: leader.item.dim])
            del self._leaders[leader.item.lane][leader.leads_by]
            return self._followers.pop(leader, ())

    def given_up(self, leader: WaitingInput, *, failed: bool = False) -> WaitingInput | None:
        """An input is not computed, for a reason of its own, or failed.

        Returns:
            The follower that takes its place, to be computed; None: nobody follows it.
        """
        key, leaders = leader.leads_by, self._leaders[leader.item.lane]
        if key is None:
            return None
        with self._lock:
            followers = self._followers.pop(leader, None)
            if not followers:
                del leaders[key]
                return None
            successor = leaders[key] = followers.pop(0)
            successor.leads_by = key
            successor.failed_before = failed or leader.failed_before
            self._followers[successor] = followers
            return successor


def _quick_key(ids: Sequence[int], dim: int, unpooled: int) -> Hashable:
    """The same for same inputs; different ones that share it by chance are told apart, and each computed."""
    return hash((dim, unpooled, tuple(ids)))


def _are_same(one: WaitingInput, other: WaitingInput) -> bool:
    alike = (one.item.dim, one.unpooled) == (other.item.dim, other.unpooled)
    return alike and tuple(one.ids) == tuple(other.ids)
