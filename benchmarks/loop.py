"""Topic to topic against the loop that a user would write, on the same broker, in turn, in one run.

    python -m benchmarks.loop                          # embedded broker
    python -m benchmarks.loop --bootstrap HOST:PORT

The loop is `benchmarks/users_loop.py`, in a process of its own and in float32. Both sides get one request a text from
the same plain producer, and the same plain consumer reads what they publish.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from .command import measuring, parser
from .corpus import CORPORA
from .services import Broker, end, start_worker
from .topic_to_topic import TopicToTopic
from .turns import in_turn, rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    options = parser(__doc__, rounds=3, texts=1000, broker=True).parse_args(arguments)
    with measuring("loop", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        topics = {side: broker.topics() for side in ("loop", "float32", "auto")}
        _start_loop(leaving, broker, topics["loop"].requests, topics["loop"].responses)
        for dtype in ("float32", "auto"):
            start_worker(leaving, broker, topics[dtype], "--dtype", dtype)
        sides = {
            side: leaving.enter_context(TopicToTopic(broker, names.requests, names.responses))
            for side, names in topics.items()
        }
        # What is idle takes no processor time: each waits for the next message.
        for corpus, make in CORPORA.items():
            texts = make(options.texts)
            rates = in_turn(
                {name: rate(partial(side.warm_up(texts).embed, texts), len(texts)) for name, side in sides.items()},
                options.rounds,
            )
            for dtype in ("float32", "auto"):
                results.compare(dtype, rates[dtype], rates["loop"], corpus)


def _start_loop(leaving: ExitStack, broker: Broker, requests: str, responses: str) -> None:
    arguments = (broker.bootstrap, requests, responses, broker.cluster.profile.group_protocol)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.users_loop", *arguments])
    leaving.callback(end, process)


if __name__ == "__main__":
    main()
