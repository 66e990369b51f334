"""A run told to a person and to a program, with what it ran on."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import confluent_kafka

from benchmarks.machine import describe_machine
from tests.kafka_broker import KAFKA_VERSION
from tests.stack.command import ROOT

from .run import EXACTLY_ONCE

if TYPE_CHECKING:
    from .run import Outcome


def as_fields(outcome: Outcome) -> dict[str, Any]:
    """Everything, ready for JSON."""
    return {**asdict(outcome), "holds": outcome.holds, "on": _versions()}


def as_text(outcome: Outcome) -> str:
    """A line for each thing to know."""
    plan, verdict, on = outcome.plan, outcome.verdict, _versions()
    second_answers = "0 allowed" if plan.delivery == EXACTLY_ONCE else "allowed, counted"
    lines = {
        "seed": f"{plan.seed}, {plan.delivery}, {plan.workers} workers, encoder {plan.encoder}",
        "code": str(on["commit"]),
        "on": f"Kafka {on['kafka']}, librdkafka {on['librdkafka']}, Python {on['python']}, {on['cores']} cores",
        "took": f"{outcome.seconds:,.0f} s, {verdict.answered / outcome.seconds:,.0f} requests/s",
        "requests": f"{outcome.sent:,} sent, {verdict.acknowledged:,} acknowledged, {verdict.answered:,} answered",
        "lost": f"{verdict.violations.get('lost', 0):,}",
        "duplicates": f"{verdict.duplicates:,} ({second_answers})",
        "sent twice": f"{verdict.sent_twice:,} by their producer, each to be answered",
        "our fault": f"{verdict.given_up:,}",
        "ends": ", ".join(f"{count:,} {end}" for end, count in verdict.ends.items()),
        "faults": ", ".join(f"{count} x {kind}" for kind, count in outcome.done.items()) or "none",
        "publishes": f"{outcome.failed_publishes:,} made to fail, {outcome.slow_publishes:,} made to take long",
        "commits": f"looked at {verdict.samples:,} times, {verdict.samples_in_the_middle:,} of them with requests "
        f"open; {outcome.looks_missed} looks that the broker did not answer",
        "not committed": f"{outcome.uncommitted:,} of what was answered, after the last worker had drained",
        "longest silence": f"{outcome.longest_silence_seconds:.1f} s between two answers",
        "own ends": "; ".join(outcome.ended_by_themselves) or "no worker ended that was not told to",
        "left out": ", ".join(outcome.left_out) or "nothing that was to go wrong",
        "violations": ", ".join(f"{count:,} {kind}" for kind, count in verdict.violations.items()) or "none",
    }
    told = [f"{name:16} {text}" for name, text in lines.items()]
    return "\n".join([*told, *(f"  {example}" for example in verdict.examples)])


def _versions() -> dict[str, Any]:
    machine = describe_machine()
    return {
        "commit": _commit(),
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "python": platform.python_version(),
        **{name: machine[name] for name in ("processor", "cores", "system", "packages")},
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
