"""What the path costs a worker by itself: its CPU time a request, with an encoder that computes nothing.

    python -m benchmarks.path                          # embedded broker
    python -m benchmarks.path --bootstrap HOST:PORT

The null encoder gives every input 384 numbers that cost nothing. CPU time is that of the whole worker process, all
its threads and the Kafka client's included, over all requests of a round. Linux only.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from .command import measuring, parser
from .processes import cpu_seconds
from .services import Broker, start_worker
from .topic_to_topic import TopicToTopic, requests
from .turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TEXT = "How do I read a file line by line?"


class _Cost(NamedTuple):
    cpu_microseconds: float
    """Of one request."""
    requests_per_second: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, broker=True)
    wanted.add_argument("--requests", type=int, default=50_000, help="of one round")
    options = wanted.parse_args(arguments)
    with measuring("path", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        topics = broker.topics()
        worker = start_worker(leaving, broker, topics, "--encoder", "null")
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
        sides = {
            encoding: _side(over_topics, worker.pid, encoding, options.requests) for encoding in ("base64", "float")
        }
        in_turn({name: _side(over_topics, worker.pid, name, options.requests // 10 + 1) for name in sides}, 1)
        costs = in_turn(sides, options.rounds)
        for encoding, rounds in costs.items():
            results.measure(encoding, [one.cpu_microseconds for one in rounds])
            results.measure(f"{encoding}-rate", [one.requests_per_second for one in rounds])


def _side(over_topics: TopicToTopic, pid: int, encoding: str, count: int) -> Callable[[], _Cost]:
    def measure() -> _Cost:
        messages = list(requests(uuid.uuid4().hex[:8], [_TEXT] * count, encoding))
        used, started_at = cpu_seconds(pid), time.perf_counter()
        for _ in over_topics.exchange(messages, count):
            pass
        taken = time.perf_counter() - started_at
        return _Cost((cpu_seconds(pid) - used) / count * 1e6, count / taken)

    return measure


if __name__ == "__main__":
    main()
