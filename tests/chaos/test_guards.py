"""A run against workers without one of their guards: the checker must see what the guard was for."""

from __future__ import annotations

import pytest

from .report import as_text
from .run import Plan, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("removed", "violation"),
    [
        ("commits what was read", "ahead"),
        ("commits before the broker has the answer", "ahead"),
        ("drops an answer that could not be published", "lost"),
    ],
)
def test_a_worker_without_a_guard_is_caught(removed: str, violation: str, kafka_bootstrap: str) -> None:
    plan = Plan(
        seed=1,
        requests=3000,
        workers=1,
        seconds=2,
        failing_publishes=30,
        commit_every_seconds=0.02,
        look_every_seconds=0.02,
        patience_seconds=2,
        removed=removed,
    )

    outcome = run(plan, kafka_bootstrap)

    assert violation in outcome.verdict.violations, as_text(outcome)
