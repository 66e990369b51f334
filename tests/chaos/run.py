"""One run: broker, workers, producers, faults and reader, until every request is answered or one is lost."""

from __future__ import annotations

import itertools
import shutil
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.topics import TopicNames
from tests.stack.command import Command
from transport.cluster import Cluster
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from .broken import DICE, FAILING_SHARE, MADE_SLOW, MADE_TO_FAIL, MOST_ABORTED, worker_script
from .checker import Checker
from .faults import Faults, Fleet
from .reference import Reference
from .schedule import FaultKind, schedule
from .sending import Sending
from .traffic import Traffic
from .watching import Watching, request_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.kafka_broker import KafkaBroker

    from .checker import Verdict

EXACTLY_ONCE: Final = "exactly-once"
_LOOK_SECONDS: Final = 0.05
_SURELY_SOME: Final = 10
"""Which publishes fail is left to dice: of fewer meant to, there may be none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of."""

    seed: int
    requests: int
    faults: Mapping[FaultKind, int] = field(default_factory=dict)
    delivery: str = "at-least-once"
    """As the workers promise it; under exactly-once, which has no interactive lane, a second answer is a fault."""
    workers: int = 2
    encoder: str = "null"
    seconds: float = 0.0
    """Time that sending takes at least, so that all faults fall into it."""
    most_seconds: float | None = None
    """After this nothing more is sent, and nothing more goes wrong; None: all is sent."""
    backlog: int = 20_000
    """Requests that may be sent and not answered."""
    failing_publishes: float = 200.0
    """About how many publishes are made to fail, and how many to take long; of a transaction, all of it."""
    most_aborted: float = 0.05
    """Share of transactions that this may do it to, however many messages they hold."""
    session_seconds: float = 6.0
    commit_every_seconds: float = 0.2
    look_every_seconds: float = 0.2
    patience_seconds: float = 90.0
    """With nothing going wrong any more and no answer for so long, what is unanswered is lost."""
    removed: str | None = None
    """A guard that the workers run without."""
    worker_flags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did and what came of it."""

    plan: Plan
    verdict: Verdict
    sent: int
    done: Mapping[str, int]
    """Faults that happened, by kind."""
    failed_publishes: int
    """Publishes that were made to fail; of a transaction, all of it as one."""
    slow_publishes: int
    """Publishes that were made to take long."""
    uncommitted: int
    """Answered messages that the last commits, after all workers had drained, do not cover."""
    ended_by_themselves: Sequence[str]
    """Exit status and last words of workers that nobody killed, or that did not drain."""
    longest_silence_seconds: float
    looks_missed: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every promise was kept, by a run that came to its end and in which all went wrong that was to."""
        return (
            self.verdict.holds
            and self.verdict.acknowledged == self.sent
            and self.uncommitted == 0
            and self.verdict.samples_in_the_middle > 0
            and not self.left_out
        )

    @property
    def left_out(self) -> Sequence[str]:
        """Kinds of faults that the plan has, and that did not happen; none where it was to be cut short."""
        if self.plan.most_seconds is not None:
            return ()
        planned = [kind.value for kind, count in self.plan.faults.items() if self.done.get(kind.value, 0) != count]
        some_must = self.plan.failing_publishes >= _SURELY_SOME
        made_to = {"publishes fail": self.failed_publishes, "publishes take long": self.slow_publishes}
        return planned + [kind for kind, count in made_to.items() if some_must and not count]


def run(
    plan: Plan,
    bootstrap: str,
    broker: KafkaBroker | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
    logs: Path | None = None,
) -> Outcome:
    """Run a plan and check it.

    Args:
        plan: What to do.
        bootstrap: The broker.
        broker: The same, where the plan harms it.
        say: Told how far it is, now and then.
        logs: Folder for what workers and broker have logged.

    Raises:
        AssertionError: It could not be run to its end.
    """
    topics = TopicNames(f"chaos-{uuid.uuid4().hex[:8]}")
    create_topics(Cluster.probe(KafkaSettings(bootstrap=bootstrap)), topics.all())
    exactly_once = plan.delivery == EXACTLY_ONCE
    traffic = Traffic(plan.seed, None if exactly_once else topics.replies)
    checker = Checker(traffic, plan.requests, Reference(plan.encoder), exactly_once=exactly_once)
    started_at = time.monotonic()
    with ExitStack() as leaving:
        numbers = itertools.count()
        fleet = Fleet(lambda: _worker(plan, bootstrap, topics, next(numbers)), plan.workers)
        if logs is not None:
            leaving.callback(_keep_logs, logs, fleet, broker)
        leaving.callback(fleet.kill)
        fleet.start()
        watching = Watching(bootstrap, topics, checker, every_seconds=plan.look_every_seconds)
        sending = Sending(
            bootstrap,
            topics,
            traffic,
            requests=plan.requests,
            backlog=plan.backlog,
            seconds=plan.seconds,
            most_seconds=plan.most_seconds,
            answered=lambda: checker.answered_count,
            acknowledged=watching.acknowledged,
        )
        faults = Faults(
            schedule(plan.seed, plan.faults, plan.workers),
            fleet,
            broker,
            session_seconds=plan.session_seconds,
            progress=lambda: sending.sent / plan.requests,
        )
        for thread in (watching, sending, faults):
            leaving.callback(thread.stop)
            thread.start()
        _wait(plan, checker, watching, sending, faults, say)
        faults.stop()
        fleet.leave()
        sending.join()
        watching.stop()
        watching.join()
        for thread in (watching, sending, faults):
            if thread.error is not None:
                raise thread.error
    return Outcome(
        plan=plan,
        verdict=checker.verdict(
            lambda number, lane, *place: number == request_at(bootstrap, topics.requests_of(lane), *place)
        ),
        sent=sending.sent,
        done={kind.value: faults.done[kind] for kind in FaultKind if faults.done[kind]},
        failed_publishes=sum(worker.stderr.count(MADE_TO_FAIL) for worker in fleet.everyone),
        slow_publishes=sum(worker.stderr.count(MADE_SLOW) for worker in fleet.everyone),
        uncommitted=checker.uncommitted(),
        ended_by_themselves=fleet.ended_by_themselves,
        longest_silence_seconds=watching.longest_silence_seconds,
        looks_missed=watching.looks_missed,
        seconds=time.monotonic() - started_at,
    )


def _wait(
    plan: Plan, checker: Checker, watching: Watching, sending: Sending, faults: Faults, say: Callable[[str], None]
) -> None:
    """Until all is answered and repaired, or nothing more is to be hoped for, or the run itself has failed."""
    calm_at = said_at = time.monotonic()
    while not any(thread.error for thread in (watching, sending, faults)):
        now = time.monotonic()
        is_calm = not sending.is_alive() and faults.is_calm
        if is_calm and checker.answered_count == checker.acknowledged_count == sending.sent:
            return
        if not is_calm and sending.is_alive():
            calm_at = now
        if now - max(calm_at, watching.last_answer_at) > plan.patience_seconds:
            return
        if now - said_at >= 15:
            said_at = now
            say(
                f"{sending.sent:,} sent, {checker.answered_count:,} answered, "
                f"{faults.done.total()} faults, violations {dict(checker.violations)}, {watching.last_trouble}"
            )
        time.sleep(_LOOK_SECONDS)


def _keep_logs(folder: Path, fleet: Fleet, broker: KafkaBroker | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, worker in enumerate(fleet.everyone):
        (folder / f"worker-{number:02}.log").write_text(worker.stderr)
    if broker is not None:
        shutil.copy(broker.log_file, folder / "broker.log")


def _worker(plan: Plan, bootstrap: str, topics: TopicNames, number: int) -> Command:
    flags = ["--bootstrap", bootstrap, "--prefix", topics.prefix, "--encoder", plan.encoder, *plan.worker_flags]
    if plan.delivery == EXACTLY_ONCE:
        flags += ["--delivery", EXACTLY_ONCE]
    return Command(
        "worker",
        *flags,
        script=worker_script(plan.removed),
        environment={
            DICE: f"{plan.seed} {number}",
            MOST_ABORTED: str(plan.most_aborted),
            FAILING_SHARE: str(plan.failing_publishes / plan.requests),
            "KAFKA_EMBEDDINGS_KAFKA__SESSION_TIMEOUT_SECONDS": str(plan.session_seconds),
            "KAFKA_EMBEDDINGS_COMMIT_EVERY_SECONDS": str(plan.commit_every_seconds),
        },
    )
