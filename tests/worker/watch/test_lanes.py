"""`worker/watch/lanes.py`: progress, rebalances and lag of a lane."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from schemas.topics import Lane, TopicNames
from transport.errors import BrokerUnavailableError
from worker.bounds import InFlight
from worker.offsets import LaneOffsets
from worker.stages import StageFailure
from worker.watch import lanes as lanes_module
from worker.watch.health import Health
from worker.watch.lanes import CountedAssignments, Lag, LaneProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.watch.samples import Source


def numbers(source: Source, now: float = 0.0) -> dict[tuple[str, ...], Any]:
    return {(sample.name, *sample.labels): sample.value for sample in source.samples(now)}


def test_progress_is_told_of_the_partitions_held_only() -> None:
    offsets, in_flight = LaneOffsets(Lane.BULK, 1.0), InFlight(100, 100)
    offsets.tracker.assign([3, 5])
    for offset in range(4):
        offsets.tracker.submit(5, offset)
    in_flight.reserve(7, 20)
    offsets.commits, offsets.failed_commits, offsets.lost_messages = 2, 1, 9

    assert numbers(LaneProgress(Lane.BULK, offsets, in_flight)) == {
        ("assigned_partitions", "bulk"): 2,
        ("watermark_gap_messages", "bulk", "3"): 0,
        ("watermark_gap_messages", "bulk", "5"): 4,
        ("in_flight_requests", "bulk"): 1,
        ("queued_tokens", "bulk"): 7,
        ("in_flight_bytes", "bulk"): 20,
        ("lost_messages_total", "bulk"): 9,
        ("commits_total", "bulk", "stored"): 2,
        ("commits_total", "bulk", "failed"): 1,
    }


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def assigned(self, partitions: Sequence[int]) -> None:
        self.told.append(("assigned", list(partitions)))

    def revoked(self, partitions: Sequence[int]) -> None:
        self.told.append(("revoked", list(partitions)))

    def lost(self, partitions: Sequence[int]) -> None:
        self.told.append(("lost", list(partitions)))


def test_rebalances_are_counted_passed_on_and_decide_whether_the_lane_has_joined() -> None:
    listener, health = Listener(), Health(StageFailure())
    health.serving(may_get_none_silently=False)
    health.joined(Lane.INTERACTIVE)
    counted = CountedAssignments(Lane.BULK, listener, health)

    counted.assigned([1])
    assert health.why_not_ready() is None
    counted.revoked([1])
    assert health.why_not_ready() is None
    counted.lost([2])
    assert health.why_not_ready() is not None

    assert listener.told == [("assigned", [1]), ("revoked", [1]), ("lost", [2])]
    assert numbers(counted) == {("rebalances_total", "bulk", change): 1 for change in ("assigned", "revoked", "lost")}


@pytest.mark.parametrize("error", [BrokerUnavailableError("away"), RuntimeError("a bug of ours")])
def test_lag_is_told_of_partitions_still_held_with_its_age_and_trouble_keeps_the_last(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    offsets = {lane: LaneOffsets(lane, 1.0) for lane in Lane}
    offsets[Lane.BULK].tracker.assign([0, 1])
    stop, answers = threading.Event(), iter([{0: 5, 1: 6}, None])

    class Reader:
        def __init__(self, _: object, topic: str, group: str) -> None:
            self._of = topic, group

        def read(self, partitions: Iterable[int]) -> dict[int, int]:
            if self._of != ("embedding.requests", "embedding.bulk"):
                return {}
            assert set(partitions) == {0, 1}
            answer = next(answers)
            if answer is None:
                stop.set()
                raise error
            return answer

        def close(self) -> None:
            closed.append(self._of)

    closed: list[tuple[str, str]] = []
    monkeypatch.setattr(lanes_module, "LagReader", Reader)
    monkeypatch.setattr(lanes_module, "_LAG_EVERY_SECONDS", 0.0)
    lag = Lag(None, TopicNames(), offsets)  # type: ignore[arg-type]
    lag.run(stop)
    assert len(closed) == len(Lane)
    told_at = lag._told[Lane.BULK][0]
    offsets[Lane.BULK].tracker.unassign([1])

    told = numbers(lag, told_at + 3)
    assert told["lag_messages", "bulk", "0"] == 5
    assert ("lag_messages", "bulk", "1") not in told
    assert told["lag_age_seconds", "bulk"] == 3
