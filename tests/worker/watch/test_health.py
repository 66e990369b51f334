"""`worker/watch/health.py`: alive and ready, and why not."""

from __future__ import annotations

import pytest

from schemas.topics import Lane
from worker.stages import StageFailure
from worker.watch import health as health_module
from worker.watch.health import Health, Phase


@pytest.fixture
def health() -> Health:
    return Health(StageFailure())


def serve(health: Health) -> None:
    health.serving(may_get_none_silently=False)
    for lane in Lane:
        health.joined(lane)


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.DRAINING, Phase.ENDED])
def test_before_and_after_serving_it_lives_and_is_not_ready(health: Health, phase: Phase) -> None:
    assert health.why_not_ready() == "no broker has answered yet"
    serve(health)
    health.enter(phase)
    assert health.why_not_ready() == phase.value
    assert health.why_not_live() is None


def test_it_is_ready_once_both_lanes_have_joined_whatever_their_share(health: Health) -> None:
    health.serving(may_get_none_silently=False)
    assert health.why_not_ready() == "joining its groups"
    health.joined(Lane.BULK)
    assert health.why_not_ready() == "joining its groups"
    health.joined(Lane.INTERACTIVE)
    assert health.why_not_ready() is None


def test_a_group_that_goes_on_without_it_makes_it_not_ready_until_it_is_back(health: Health) -> None:
    serve(health)
    health.left(Lane.BULK)
    assert health.why_not_ready() == "joining its groups"
    health.joined(Lane.BULK)
    assert health.why_not_ready() is None


def test_where_nobody_says_that_there_is_no_partition_a_standby_is_ready_after_two_heartbeats(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(health_module.time, "monotonic", lambda: now[0])
    health.serving(may_get_none_silently=True)
    now[0] = 59.9
    assert health.why_not_ready() is not None
    now[0] = 60.0
    assert health.why_not_ready() is None
    health.left(Lane.BULK)
    assert health.why_not_ready() is not None


def test_a_stage_that_died_ends_both() -> None:
    failure = StageFailure()
    health = Health(failure)
    serve(health)
    failure.report("encoder", RuntimeError("secret"))
    assert health.why_not_live() == health.why_not_ready() == "stage encoder died"


def test_a_request_that_is_stuck_ends_both(health: Health) -> None:
    serve(health)
    health.stuck()
    assert health.why_not_live() == health.why_not_ready() == "a request is stuck"


def test_it_tells_both_as_numbers(health: Health) -> None:
    assert [(s.name, s.value) for s in health.samples(0)] == [("ready", False), ("live", True)]
