from __future__ import annotations

from api.deadline import Deadline


def test_waits_share_the_time_that_was_granted_and_a_deadline_that_has_passed_leaves_none() -> None:
    deadline = Deadline.after(30, now=100)

    assert [deadline.rest_seconds(now) for now in (100, 110, 130, 131)] == [30, 20, 0, 0]
