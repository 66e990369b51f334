"""How long interactive requests take while bulk saturates the worker, and what bulk keeps, in turn, in one run.

    python -m benchmarks.lanes                         # embedded broker
    python -m benchmarks.lanes --bootstrap HOST:PORT

An interactive request is one short text on the interactive topic, the next one sent when the last is answered. It is
timed without any bulk traffic, and while the bulk topic always holds a backlog. The yardstick is what it takes alone
and, at the 99th percentile, one bulk batch of 50 ms more. Then both lanes hold a backlog, and the tokens that either
gets answered are counted.
"""

from __future__ import annotations

import itertools
import time
import uuid
from typing import TYPE_CHECKING, Final

import orjson

from .command import measuring, parser
from .corpus import mixed_texts
from .services import Broker, start_worker
from .topic_to_topic import TopicToTopic, requests
from .turns import in_turn, percentiles, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT: Final = "How do I read a file line by line?"
_BULK_BATCH_MS: Final = 50.0
_TEXTS: Final = 2000


class Backlog:
    """Keeps requests waiting on a topic, and counts the tokens of those that are answered.

    Args:
        over_topics: Where they go and come back.
        unanswered: How many are kept waiting.
    """

    def __init__(self, over_topics: TopicToTopic, unanswered: int) -> None:
        self._over_topics = over_topics
        self._wanted = unanswered
        self._unanswered = 0
        self._texts = itertools.cycle(mixed_texts(_TEXTS))
        self.tokens = 0
        """Answered so far."""

    def top_up(self, timeout_seconds: float = 0.0) -> None:
        """Count what is answered, and publish as much again."""
        self._count(timeout_seconds)
        texts = itertools.islice(self._texts, self._wanted - self._unanswered)
        self._unanswered += self._over_topics.publish(requests(uuid.uuid4().hex[:8], texts, "base64"))

    def drain(self) -> None:
        """Wait until nothing is left."""
        while self._unanswered:
            self._count(0.1)

    def _count(self, timeout_seconds: float) -> None:
        for value in self._over_topics.answers(timeout_seconds):
            self._unanswered -= 1
            self.tokens += orjson.loads(value)["usage"]["total_tokens"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, broker=True)
    wanted.add_argument("--calls", type=int, default=300, help="interactive ones of one round")
    wanted.add_argument("--backlog", type=int, default=1000, help="bulk requests kept waiting")
    wanted.add_argument("--seconds", type=float, default=20.0, help="of a round in which both lanes are full")
    wanted.add_argument("--dtype", default="auto")
    wanted.add_argument("--encoder", default="auto", help="null: the path by itself")
    options = wanted.parse_args(arguments)
    with measuring("lanes", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        topics = broker.topics()
        start_worker(leaving, broker, topics, "--dtype", options.dtype, "--encoder", options.encoder)
        interactive = leaving.enter_context(
            TopicToTopic(broker, topics.requests_interactive, topics.replies, is_prompt=True)
        )
        bulk = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
        backlog = Backlog(bulk, options.backlog)
        sides = {
            "unloaded": lambda: _calls(interactive, options.calls),
            "loaded": lambda: _calls(interactive, options.calls, backlog),
        }
        in_turn({"warm-up": lambda: _calls(interactive, options.calls // 10 + 1, backlog)}, 1)
        taken = in_turn(sides, options.rounds)
        p99 = {name: [percentiles(one)["p99"] for one in turns] for name, turns in taken.items()}
        results.compare("interactive", p99["loaded"], [one + _BULK_BATCH_MS for one in p99["unloaded"]])
        for name, turns in taken.items():
            results.detail(f"{name}, ms", percentiles(list(itertools.chain(*turns))))
        both = [Backlog(interactive, options.backlog), backlog]
        results.measure("share", [_share_of_last(both, options.seconds) for _ in range(options.rounds)])


def _calls(interactive: TopicToTopic, count: int, backlog: Backlog | None = None) -> list[float]:
    """Milliseconds of each of so many calls; with a backlog, while it lasts."""
    taken = []
    for _ in range(count):
        if backlog:
            backlog.top_up()
        taken.append(_call(interactive))
    if backlog:
        backlog.drain()
    return taken


def _call(interactive: TopicToTopic) -> float:
    """Milliseconds from the request to its answer."""
    message = list(requests(uuid.uuid4().hex[:8], [_TEXT], "base64"))
    return 1000 * seconds(lambda: list(interactive.exchange(message, 1)))


def _share_of_last(backlogs: Sequence[Backlog], length_seconds: float) -> float:
    """The last one's share of the tokens answered while all are full."""
    for backlog in backlogs:
        backlog.top_up()
    before, until = [backlog.tokens for backlog in backlogs], time.monotonic() + length_seconds
    while time.monotonic() < until:
        for backlog in backlogs:
            backlog.top_up(0.005)
    answered = [backlog.tokens - tokens for backlog, tokens in zip(backlogs, before, strict=True)]
    for backlog in backlogs:
        backlog.drain()
    return answered[-1] / max(1, sum(answered))


if __name__ == "__main__":
    main()
