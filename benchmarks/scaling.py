"""Ten times the requests against ten times the time, and the worker's memory from first to last, in one run.

    python -m benchmarks.scaling                       # embedded broker
    python -m benchmarks.scaling --bootstrap HOST:PORT

Topic to topic as in `benchmarks.pipeline`. A round publishes a list of texts, and then ten
times as many, of the same lengths and all different. During
the long run the worker's memory is read from the kernel twenty times a second. Linux only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from .command import measuring, parser
from .corpus import mixed_texts
from .processes import MemoryLog
from .services import Broker, start_worker
from .topic_to_topic import TopicToTopic
from .turns import in_turn, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMES: Final = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, texts=1000, broker=True)
    wanted.add_argument("--dtype", default="auto")
    wanted.add_argument("--encoder", default="auto", help="null: the path by itself")
    options = wanted.parse_args(arguments)
    texts = mixed_texts(options.texts)
    # No text comes twice: one that still waits would be computed once for both.
    many_texts = [f"{copy} {text}" for copy in range(_TIMES) for text in texts]
    with measuring("scaling", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        topics = broker.topics()
        worker = start_worker(leaving, broker, topics, "--dtype", options.dtype, "--encoder", options.encoder)
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
        tenths: list[tuple[float, float]] = []

        def many() -> float:
            with MemoryLog(worker.pid) as memory:
                taken = seconds(partial(over_topics.embed, many_texts))
            tenths.append((memory.tenth(0), memory.tenth(9)))
            return taken

        # What the first batches of every length leave behind in caches of torch and oneDNN is no growth.
        over_topics.embed(texts)
        taken = in_turn({"once": lambda: seconds(partial(over_topics.embed, texts)), "many": many}, options.rounds)
        results.compare("time", taken["many"], [_TIMES * one for one in taken["once"]])
        results.compare("memory", [last for _, last in tenths], [first for first, _ in tenths])


if __name__ == "__main__":
    main()
