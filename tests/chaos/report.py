"""A run told to a person and to a program, with what it ran on."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import confluent_kafka

from benchmarks.machine import describe_machine
from tests.kafka_broker import KAFKA_VERSION

from .run import EXACTLY_ONCE

if TYPE_CHECKING:
    from .run import Outcome


def as_fields(outcome: Outcome) -> dict[str, Any]:
    """Everything, ready for JSON."""
    return {**asdict(outcome), "holds": outcome.holds, "on": _versions()}


def as_text(outcome: Outcome) -> str:
    """A line for each thing to know."""
    plan, verdict, on = outcome.plan, outcome.verdict, _versions()
    is_exactly_once = plan.delivery == EXACTLY_ONCE
    second_answers = "0 allowed" if is_exactly_once else "allowed, counted"
    # What fails on purpose is the producer of at-least-once; transactions are left alone.
    failing = 0.0 if is_exactly_once else plan.failing_publishes
    lines = {
        "seed": f"{plan.seed}, {plan.delivery}, {plan.workers} workers, encoder {plan.encoder}",
        "on": f"Kafka {on['kafka']}, librdkafka {on['librdkafka']}, Python {on['python']}, {on['cores']} cores",
        "took": f"{outcome.seconds:,.0f} s, {verdict.answered / outcome.seconds:,.0f} requests/s",
        "requests": f"{outcome.sent:,} sent, {verdict.acknowledged:,} acknowledged, {verdict.answered:,} answered",
        "lost": f"{verdict.violations.get('lost', 0):,}",
        "duplicates": f"{verdict.duplicates:,} ({second_answers})",
        "our fault": f"{verdict.given_up:,}",
        "ends": ", ".join(f"{count:,} {end}" for end, count in verdict.ends.items()),
        "faults": ", ".join(f"{count} x {kind}" for kind, count in outcome.done.items()) or "none",
        "publishes": f"about {failing:,.0f} meant to fail, as many to take long",
        "commits": f"looked at {verdict.samples:,} times, {verdict.samples_in_the_middle:,} of them with requests "
        f"open; {outcome.looks_missed} looks that the broker did not answer",
        "not committed": f"{outcome.uncommitted:,} of what was answered, after the last worker had drained",
        "longest silence": f"{outcome.longest_silence_seconds:.1f} s between two answers",
        "own ends": "; ".join(outcome.ended_by_themselves) or "no worker ended that was not told to",
        "violations": ", ".join(f"{count:,} {kind}" for kind, count in verdict.violations.items()) or "none",
    }
    told = [f"{name:16} {text}" for name, text in lines.items()]
    return "\n".join([*told, *(f"  {example}" for example in verdict.examples)])


def _versions() -> dict[str, Any]:
    machine = describe_machine()
    return {
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "python": platform.python_version(),
        **{name: machine[name] for name in ("processor", "cores", "system", "packages")},
    }
