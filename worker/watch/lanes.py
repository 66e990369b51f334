"""What is told of a lane's progress: partitions, watermark, commits, what is in flight, and how far it is behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from transport.lag import LagReader

from .samples import Sample
from .table import Change

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from schemas.topics import Lane, TopicNames
    from transport.cluster import Cluster
    from transport.consumer import AssignmentListener

    from ..bounds import InFlight
    from ..delivery import Committer
    from .health import Health

log = structlog.get_logger("worker")

_LAG_EVERY_SECONDS: Final = 5.0


class LaneProgress:
    """One lane, as its offsets and bounds have it.

    Args:
        lane: Which.
        offsets: Its watermark.
        in_flight: Its bounds.
    """

    def __init__(self, lane: Lane, offsets: Committer, in_flight: InFlight) -> None:
        self._lane = lane
        self._offsets = offsets
        self._in_flight = in_flight

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        lane, offsets, in_flight = self._lane.value, self._offsets, self._in_flight
        assigned = offsets.tracker.assigned
        yield Sample("assigned_partitions", (lane,), len(assigned))
        for partition in sorted(assigned):
            yield Sample("watermark_gap_messages", (lane, str(partition)), offsets.tracker.pending(partition))
        yield Sample("in_flight_requests", (lane,), in_flight.requests)
        yield Sample("queued_tokens", (lane,), in_flight.tokens)
        yield Sample("in_flight_bytes", (lane,), in_flight.bytes)
        yield Sample("lost_messages_total", (lane,), offsets.lost_messages)
        yield Sample("commits_total", (lane, "stored"), offsets.commits)
        yield Sample("commits_total", (lane, "failed"), offsets.failed_commits)


class Lag:
    """Asks the broker again and again how far each lane is behind.

    Args:
        cluster: Whom to ask.
        topics: Names of the lanes' topics and groups.
        offsets: Say which partitions are held.
    """

    def __init__(self, cluster: Cluster, topics: TopicNames, offsets: Mapping[Lane, Committer]) -> None:
        self._offsets = offsets
        self._readers = {lane: LagReader(cluster, topics.requests_of(lane), topics.group(lane)) for lane in offsets}
        self._told: dict[Lane, tuple[float, dict[int, int]]] = {}

    def run(self, stop: threading.Event) -> None:
        """Ask until stopped; whatever goes wrong with it, the worker goes on."""
        failed = False
        while not stop.is_set():
            try:
                for lane in self._offsets:
                    self._ask(lane)
                failed = False
            except Exception as error:  # noqa: BLE001 - telling must not end what is told of
                if not failed:
                    log.warning("lag cannot be read, trying again", error=str(error))
                failed = True
            stop.wait(_LAG_EVERY_SECONDS)
        for reader in self._readers.values():
            reader.close()

    def _ask(self, lane: Lane) -> None:
        found = self._readers[lane].read(self._offsets[lane].tracker.assigned)
        self._told[lane] = (time.monotonic(), found)

    def samples(self, now: float) -> Iterator[Sample]:
        """See `samples.Source`."""
        for lane, (told_at, found) in self._told.copy().items():
            yield Sample("lag_age_seconds", (lane.value,), now - told_at)
            for partition in sorted(self._offsets[lane].tracker.assigned & found.keys()):
                yield Sample("lag_messages", (lane.value, str(partition)), found[partition])


class CountedAssignments:
    """Stands before a lane's listener: counts what comes and goes, and says when the lane has joined its group.

    Args:
        lane: Which.
        listener: Whom to pass everything on to.
        health: Told of it.
    """

    def __init__(self, lane: Lane, listener: AssignmentListener, health: Health) -> None:
        self._lane = lane
        self._listener = listener
        self._health = health
        self._changes = dict.fromkeys(Change, 0)

    def assigned(self, partitions: Sequence[int]) -> None:
        self._changes[Change.ASSIGNED] += 1
        self._listener.assigned(partitions)
        self._health.joined(self._lane)

    def revoked(self, partitions: Sequence[int]) -> None:
        self._changes[Change.REVOKED] += 1
        self._listener.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._changes[Change.LOST] += 1
        self._health.left(self._lane)
        self._listener.lost(partitions)

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        for change, times in self._changes.items():
            yield Sample("rebalances_total", (self._lane.value, change), times)
