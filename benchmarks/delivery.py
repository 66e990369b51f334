"""What exactly-once costs: topic to topic without a model, against at-least-once, in turn, in one run.

    python -m benchmarks.delivery --bootstrap HOST:PORT

Two workers without a model, each on topics of its own, one under each delivery. Requests are published by a plain
producer, responses read by a plain read_committed consumer until the last is there, so the time of the last
transaction is in it. Needs an Apache Kafka: the embedded broker's transactions are hollow.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from .command import measuring, parser
from .services import Broker, start_worker
from .topic_to_topic import TopicToTopic, requests
from .turns import in_turn, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TEXT = "How do I read a file line by line?"
_SIDES = ("exactly-once", "at-least-once")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result.

    Raises:
        SystemExit: With 2, when no broker is given.
    """
    wanted = parser(__doc__, rounds=5, broker=True)
    wanted.add_argument("--requests", type=int, default=100_000, help="of one round")
    options = wanted.parse_args(arguments)
    if not options.bootstrap:
        print("no Apache Kafka given (--bootstrap): nothing is measured")
        raise SystemExit(2)
    with measuring("delivery", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        sides = {}
        for delivery in _SIDES:
            topics = broker.topics()
            start_worker(leaving, broker, topics, "--encoder", "null", "--delivery", delivery)
            over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
            _exchange(over_topics, options.requests // 10 + 1)()
            sides[delivery] = rate(_exchange(over_topics, options.requests), options.requests)
        rates = in_turn(sides, options.rounds)
        results.compare("throughput", rates["exactly-once"], rates["at-least-once"])


def _exchange(over_topics: TopicToTopic, count: int) -> Callable[[], None]:
    def exchange() -> None:
        messages = list(requests(uuid.uuid4().hex[:8], [_TEXT] * count, "base64"))
        for _ in over_topics.exchange(messages, count):
            pass

    return exchange


if __name__ == "__main__":
    main()
