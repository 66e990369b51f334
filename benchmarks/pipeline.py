"""Topic to topic against the engine in process and against `encode`, on the same texts, in turn, in one run.

    python -m benchmarks.pipeline                      # embedded broker, float32 and auto
    python -m benchmarks.pipeline --bootstrap HOST:PORT

One side publishes one request a text with a plain producer, lets one worker process answer, and reads the responses
with a plain consumer until the last is there. The others are the worker's engine in this process, which has the same
dtype and no Kafka, and `encode` in float32 over the whole list in one call. All compute on the same cores.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from .command import measuring, parser
from .corpus import CORPORA
from .engine_in_process import EngineInProcess, load
from .plain_encode import Library, worst_cosine
from .services import Broker, start_worker
from .topic_to_topic import TopicToTopic
from .turns import in_turn, rate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from .recording import Results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=5, texts=3000, broker=True)
    wanted.add_argument("--dtype", nargs="+", default=["float32", "auto"], help="of worker and engine")
    options = wanted.parse_args(arguments)
    with measuring("pipeline", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        library = leaving.enter_context(Library())
        for dtype in options.dtype:
            _one_dtype(broker, library, dtype, options, results)


def _one_dtype(broker: Broker, library: Library, dtype: str, options: argparse.Namespace, results: Results) -> None:
    topics = broker.topics()
    with ExitStack() as leaving:
        start_worker(leaving, broker, topics, "--dtype", dtype)
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
        engine = leaving.enter_context(EngineInProcess(load(dtype)))
        for corpus, make in CORPORA.items():
            texts = make(options.texts)
            sides = {
                "topics": partial(over_topics.warm_up(texts).embed, texts),
                "engine": partial(engine.warm_up(texts).embed, texts),
                "encode": partial(library.warm_up(texts).encode, texts),
            }
            rates = in_turn({name: rate(side, len(texts)) for name, side in sides.items()}, options.rounds)
            case = f"{corpus}, {dtype}"
            results.compare("engine", rates["topics"], rates["engine"], case)
            results.compare("encode", rates["topics"], rates["encode"], case)
            results.detail(f"worst cosine ({case})", worst_cosine(sides["topics"](), sides["encode"]()))


if __name__ == "__main__":
    main()
