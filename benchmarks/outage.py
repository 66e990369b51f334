"""How long callers hear nothing when one of three brokers is killed, or one of two workers, and whether one fails.

    python -m benchmarks.outage

Starts an Apache Kafka of three brokers, three replicas of every topic, two of which must be there; it needs Java and
Maven. Two workers compute nothing, so that what is measured is the way. Bulk requests are published all the time, and
one caller of the API asks again as soon as it is answered. First one of the workers is killed with SIGKILL. Then each
broker in turn: it stays away until both are answered again and some seconds more, and is started on its data.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from client.workers import WorkersView
from tests.kafka_broker import why_no_kafka
from tests.kafka_broker.cluster import KafkaCluster

from .command import measuring, parser
from .services import Broker, launch_worker, start_api
from .steady_callers import BulkCaller, HttpCaller

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from schemas.topics import TopicNames

    from .steady_callers import SteadyCaller

_BOUND_SECONDS: Final = 120.0
_LOOK_EVERY_SECONDS: Final = 0.05
_FIRST_ANSWERS: Final = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result.

    Raises:
        SystemExit: With 2 where no Apache Kafka can be started, with a line where callers are not answered again.
    """
    wanted = parser(__doc__, rounds=3)
    wanted.add_argument("--kills", type=int, default=3, help="brokers killed in a round, one after the other")
    wanted.add_argument("--away", type=float, default=10.0, help="seconds that a broker stays away once all is well")
    wanted.add_argument("--broker-session", type=float, default=9.0, help="seconds a silent broker counts as alive")
    wanted.add_argument("--rate", type=float, default=200.0, help="bulk requests a second")
    options = wanted.parse_args(arguments)
    reason = why_no_kafka()
    if reason is not None:
        print(f"{reason}: nothing is measured")
        sys.exit(2)
    with measuring("outage", options) as (results, leaving):
        cluster = leaving.enter_context(KafkaCluster(options.broker_session))
        broker = Broker(leaving, cluster.bootstrap, replication=len(cluster.brokers))
        topics = broker.topics()
        workers = [launch_worker(leaving, broker, topics, "--encoder", "null") for _ in range(2)]
        _wait_for_workers(broker, topics, workers)
        url = start_api(leaving, broker, topics)
        bulk = leaving.enter_context(BulkCaller(broker.bootstrap, topics, options.rate))
        calls = leaving.enter_context(HttpCaller(url))
        callers: list[SteadyCaller] = [bulk, calls]
        _wait_until(lambda: all(caller.answered > _FIRST_ANSWERS for caller in callers), "the first answers")
        cluster.wait_until_whole()
        results.measure("worker", [_longest_call(workers[0], callers, calls)])
        pauses: dict[str, list[float]] = {"bulk": [], "calls": []}
        victims = cluster.brokers[: options.kills] * options.rounds
        for number, victim in enumerate(victims, 1):
            killed_at = time.monotonic()
            victim.kill()
            _wait_until_well(callers, killed_at)
            time.sleep(options.away)
            for name, caller in zip(pauses, callers, strict=True):
                pauses[name].append(caller.longest_pause(killed_at))
            if number < len(victims):
                victim.restart()
                cluster.wait_until_whole()
        results.measure("bulk", pauses["bulk"])
        results.measure("calls", pauses["calls"])
        bulk.finish(_BOUND_SECONDS)
        results.detail("bulk requests", bulk.outcomes)
        results.detail("HTTP calls by status", dict(calls.statuses))


def _longest_call(victim: subprocess.Popen[bytes], callers: Sequence[SteadyCaller], calls: HttpCaller) -> float:
    """Seconds of the longest HTTP call when a worker is killed and another one stands by."""
    killed_at = time.monotonic()
    victim.send_signal(signal.SIGKILL)
    _wait_until_well(callers, killed_at)
    # Half the partitions were its own: among so many calls some were for them.
    _wait_until(lambda: calls.answered_since(killed_at) > _FIRST_ANSWERS, "answers by the other worker")
    return calls.longest_call(killed_at)


def _wait_for_workers(broker: Broker, topics: TopicNames, workers: Sequence[subprocess.Popen[bytes]]) -> None:
    view = WorkersView(broker.cluster, topics)

    def all_ready() -> bool:
        view.refresh(0.2)
        if any(worker.poll() is not None for worker in workers):
            raise SystemExit("a worker ended")
        return len(view.ready()) == len(workers)

    _wait_until(all_ready, "the workers")
    view.close()


def _wait_until_well(callers: Sequence[SteadyCaller], since: float) -> None:
    """Until everybody was answered what was asked since then."""
    _wait_until(lambda: all(caller.answered_since(since) > 0 for caller in callers), "answers again")


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _BOUND_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"not within {_BOUND_SECONDS:g} s: {what}")
        time.sleep(_LOOK_EVERY_SECONDS)


if __name__ == "__main__":
    main()
