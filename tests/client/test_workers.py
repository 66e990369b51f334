"""Which workers live: those whose last beat is young enough, can be read, and was no farewell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from client.workers import WorkersView
from schemas.beats import GONE_AFTER_SECONDS, Beat, WorkerState
from schemas.codec import encode_beat

from ..transport.testbed import Testbed, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.topics import TopicNames

_BEAT = Beat(worker_id="w1", model="m", state=WorkerState.READY, dim=8)


class _Clock:
    """Epoch milliseconds, ahead of the wall clock by what a test says."""

    def __init__(self, now_ms: float) -> None:
        self.now_ms = now_ms

    def __call__(self) -> float:
        return self.now_ms


@pytest.fixture
def published_at_ms(testbed: Testbed, topics: TopicNames) -> float:
    """A ready beat of worker w1 is on the topic; the broker has this timestamp for it."""
    _publish(testbed, topics, b"w1", encode_beat(_BEAT))
    (message,) = testbed.read_all(topics.workers, 1)
    return float(message.timestamp_ms)


@pytest.fixture
def clock(published_at_ms: float) -> _Clock:
    return _Clock(published_at_ms)


@pytest.fixture
def view(testbed: Testbed, topics: TopicNames, clock: _Clock) -> Iterator[WorkersView]:
    made = WorkersView(testbed.cluster, topics, clock)
    assert wait_until(lambda: made.refresh(0.05))
    yield made
    made.close()


def _publish(testbed: Testbed, topics: TopicNames, key: bytes | None, value: bytes | None) -> None:
    with testbed.producer() as publisher:
        publisher.send(topics.workers, key=key, value=value)
        assert publisher.outcomes() == [None]


def _refresh(view: WorkersView) -> None:
    assert wait_until(lambda: view.refresh(0.05))


def test_a_worker_that_beat_before_the_view_was_made_is_known_at_once(view: WorkersView) -> None:
    assert view.live() == [_BEAT]
    assert view.ready() == [_BEAT]


def test_a_worker_is_live_for_five_seconds_after_its_last_beat_and_gone_after(
    view: WorkersView, clock: _Clock
) -> None:
    clock.now_ms += GONE_AFTER_SECONDS * 1000
    assert view.live() == [_BEAT]
    clock.now_ms += 1

    assert view.live() == []


def test_a_further_beat_keeps_a_worker_alive_and_tells_its_new_state(
    testbed: Testbed, topics: TopicNames, view: WorkersView, clock: _Clock
) -> None:
    draining = _BEAT.model_copy(update={"state": WorkerState.DRAINING})
    clock.now_ms += 4_000
    _publish(testbed, topics, b"w1", encode_beat(draining))
    _refresh(view)
    clock.now_ms += 4_000

    assert view.live() == [draining]
    assert view.ready() == []


def test_a_beat_that_comes_in_counts_from_now_whatever_its_workers_clock_says(
    testbed: Testbed, topics: TopicNames, view: WorkersView, clock: _Clock
) -> None:
    clock.now_ms += 60_000  # as if every worker's clock were a minute behind
    assert view.live() == []

    _publish(testbed, topics, b"w1", encode_beat(_BEAT))
    _refresh(view)
    assert [beat.worker_id for beat in view.live()] == ["w1"]


def test_a_worker_that_says_farewell_is_gone_at_once(testbed: Testbed, topics: TopicNames, view: WorkersView) -> None:
    _publish(testbed, topics, b"w1", None)
    _refresh(view)

    assert view.live() == []


def test_a_beat_this_release_cannot_read_counts_as_no_worker_and_hides_none(
    testbed: Testbed, topics: TopicNames, view: WorkersView
) -> None:
    _publish(testbed, topics, b"w2", b"\xff not a beat")
    _publish(testbed, topics, b"w3", b'{"state": "of a later release"}')
    readable = _BEAT.model_copy(update={"worker_id": "w4"})
    _publish(testbed, topics, b"w4", encode_beat(readable))

    assert wait_until(lambda: view.refresh(0.05) and len(view.live()) > 1)
    assert view.live() == [_BEAT, readable]


def test_a_worker_whose_clock_is_ahead_is_not_alive_for_longer(
    testbed: Testbed, topics: TopicNames, published_at_ms: float
) -> None:
    # Our clock is a minute behind the timestamps of the topic.
    clock = _Clock(published_at_ms - 60_000)
    view = WorkersView(testbed.cluster, topics, clock)
    _refresh(view)
    clock.now_ms += GONE_AFTER_SECONDS * 1000 + 1

    assert view.live() == []
    view.close()


def test_workers_are_listed_in_the_order_they_started(
    testbed: Testbed, topics: TopicNames, view: WorkersView
) -> None:
    for worker_id, started_at_ms in (("late", 300), ("early", 100), ("also-early", 100)):
        beat = _BEAT.model_copy(update={"worker_id": worker_id, "started_at_ms": started_at_ms})
        _publish(testbed, topics, worker_id.encode(), encode_beat(beat))
    assert wait_until(lambda: view.refresh(0.05) and len(view.live()) == 4)

    assert [beat.worker_id for beat in view.live()] == ["w1", "also-early", "early", "late"]


def test_nothing_new_is_told_as_such(view: WorkersView) -> None:
    assert view.refresh(0.01) is False
