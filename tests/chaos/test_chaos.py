"""The short run: every kind of fault at least once, and every promise kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .report import as_text
from .run import Plan, run
from .schedule import FaultKind

if TYPE_CHECKING:
    from tests.kafka_broker import KafkaBroker

DELIVERIES = ["at-least-once", "exactly-once"]
"""As a worker's `--delivery` calls them."""
SEED = 6
FAULTS = dict.fromkeys(FaultKind, 1) | {FaultKind.KILL_WORKER: 2}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_twenty_thousand_requests_are_answered_whatever_breaks(delivery: str, kafka_broker: KafkaBroker) -> None:
    plan = Plan(
        seed=SEED,
        requests=20_000,
        faults=FAULTS,
        delivery=delivery,
        seconds=25,
        failing_publishes=20,
        most_aborted=0.1,
        session_seconds=2,
        look_every_seconds=0.1,
        patience_seconds=120,
    )

    outcome = run(plan, kafka_broker.bootstrap, kafka_broker)

    assert outcome.holds, as_text(outcome)
    assert outcome.sent == plan.requests
    # A worker killed again and again at one place may take a request there for the cause.
    assert outcome.verdict.given_up <= FAULTS[FaultKind.KILL_WORKER]
    assert outcome.verdict.samples_in_the_middle >= 10
    assert {"ok", "timeout", "model_not_found", "dead letter not_json"} <= outcome.verdict.ends.keys()
