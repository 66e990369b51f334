"""`schedule.py`: a seed decides all of it, and nothing happens too early, too late or never."""

from __future__ import annotations

from collections import Counter

import pytest

from .schedule import FaultKind, due, schedule

COUNTS = {FaultKind.KILL_WORKER: 20, FaultKind.KILL_BROKER: 5, FaultKind.JOIN_AND_LEAVE: 20}


def test_a_seed_gives_one_schedule_and_another_seed_another() -> None:
    assert schedule(1, COUNTS, 3) == schedule(1, COUNTS, 3)
    assert schedule(1, COUNTS, 3) != schedule(2, COUNTS, 3)


def test_every_fault_is_there_in_order_and_within_the_run() -> None:
    faults = schedule(1, COUNTS, 3)

    assert Counter(fault.kind for fault in faults) == COUNTS
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert faults[0].at > 0
    assert faults[-1].at < 1
    assert {fault.worker for fault in faults} == {0, 1, 2}


@pytest.mark.parametrize("seed", range(10))
def test_faults_of_one_kind_are_spread_over_the_whole_run(seed: int) -> None:
    kills = [fault.at for fault in schedule(seed, COUNTS, 2) if fault.kind is FaultKind.KILL_BROKER]

    assert [int((at - 0.03) / 0.90 * 5) for at in kills] == [0, 1, 2, 3, 4]


def test_each_fault_is_due_once() -> None:
    faults = schedule(1, COUNTS, 2)
    begun = 0
    happened = []
    for step in range(101):
        now = due(faults, begun, step / 100)
        assert all(fault.at <= step / 100 for fault in now)
        happened += now
        begun += len(now)

    assert tuple(happened) == faults
