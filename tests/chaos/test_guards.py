"""A run against workers without one of their guards: the checker must see what the guard was for."""

from __future__ import annotations

import pytest

from .report import as_text
from .run import EXACTLY_ONCE, Plan, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delivery", "removed", "failing", "violation"),
    [
        ("at-least-once", "commits what was read", 0, "ahead"),
        ("at-least-once", "commits before the broker has the answer", 30, "ahead"),
        ("at-least-once", "drops an answer that could not be published", 30, "lost"),
        (EXACTLY_ONCE, "drops what was in an aborted transaction", 30, "lost"),
        (EXACTLY_ONCE, "commits in a transaction what it has read", 0, "ahead"),
        (EXACTLY_ONCE, "publishes beside its transactions", 30, "duplicate"),
    ],
)
def test_a_worker_without_a_guard_is_caught(
    delivery: str, removed: str, failing: int, violation: str, kafka_bootstrap: str
) -> None:
    plan = Plan(
        seed=1,
        requests=3000,
        delivery=delivery,
        workers=1,
        seconds=2,
        failing_publishes=failing,
        most_aborted=0.8,
        commit_every_seconds=0.02,
        look_every_seconds=0.02,
        patience_seconds=2,
        removed=removed,
    )

    outcome = run(plan, kafka_bootstrap)

    assert violation in outcome.verdict.violations, as_text(outcome)
